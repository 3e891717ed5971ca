package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/postwain/postwain/internal/auth"
	"github.com/postwain/postwain/internal/auth/apppassword"
	"github.com/postwain/postwain/internal/auth/passwdfile"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/sasl"
)

// accounts is what the servers ask about users.
type accounts struct {
	auth.Source
	bearer  sasl.BearerOptions // what who has no good token is told
	salt    []byte             // see sasl.SCRAMOptions.Key
	users   *passwdfile.File   // nil: there is none
	others  bool               // there are sources of passwords beside it
	devices *apppassword.File  // nil: there are no app passwords

	files   []interface{ Reload() error } // read again at a reload
	closers []io.Closer
}

// Lookup implements [sasl.Looker].
func (a *accounts) Lookup(ctx context.Context, name string) (string, error) {
	if a.Looker == nil {
		return "", errNoNames
	}
	return a.Looker.Lookup(ctx, name)
}

// fieldsOf gives what is said of an account beside its password.
func (a *accounts) fieldsOf(ctx context.Context, account string) (map[string]string, error) {
	if a.Fields == nil {
		return nil, nil
	}
	return a.Fields(ctx, account)
}

// serveSome says that there is somebody with a secret of one of these schemes.
func (a *accounts) serveSome(schemes []string) bool {
	if a.Secrets == nil {
		return false
	}
	if a.others || a.users == nil { // which cannot be asked
		return true
	}
	for _, has := range a.users.Schemes() {
		for _, s := range schemes {
			if s == has {
				return true
			}
		}
	}
	return false
}

// serveAll says that everybody has one.
func (a *accounts) serveAll(schemes []string) bool {
	return a.Secrets != nil && !a.others && a.users != nil && a.users.ServesAll(schemes...) &&
		(a.devices == nil || a.devices.Empty()) // whose passwords serve those mechanisms that send them
}

// iterations is what those are told who have no keys of a scheme.
func (a *accounts) iterations(scheme string) int {
	if a.users == nil {
		return 0
	}
	return a.users.Iterations(scheme)
}

// reload reads the files of accounts again.
func (a *accounts) reload() error {
	var wrong []error
	for _, f := range a.files {
		wrong = append(wrong, f.Reload())
	}
	return errors.Join(wrong...)
}

// close releases what sources hold. Logins that are under way may fail.
func (a *accounts) close() error {
	var wrong []error
	for _, c := range a.closers {
		wrong = append(wrong, c.Close())
	}
	return errors.Join(wrong...)
}

// openAccounts opens the account sources.
func (d *Daemon) openAccounts(ctx context.Context, c *config.Config) (*accounts, error) {
	a := new(accounts)
	err := d.fillAccounts(ctx, c, a)
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func (d *Daemon) fillAccounts(ctx context.Context, c *config.Config, a *accounts) error {
	o := opener{daemon: d, config: &c.Accounts, file: c.File, opened: a}
	if err := o.open(ctx); err != nil {
		return err
	}
	masters, err := d.openMasters(c, a)
	if err != nil {
		return err
	}
	var before auth.Source
	if d.accounts != nil { // what is known of guessers outlives a reload
		before = d.accounts.Source
	}
	options := auth.Options{Sources: o.sources, Masters: masters, Before: before}
	if a.others { // nobody tells when a password is changed there
		options.Remember = rememberOthers
	}
	if a.Source, err = auth.New(options); err != nil {
		return fmt.Errorf("accounts: %w", err)
	}
	if a.salt, err = keptKey(filepath.Join(c.StateDir, "scram-salt")); err != nil {
		return fmt.Errorf("accounts: %w", err)
	}
	return nil
}

// rememberOthers is how long a password counts that a server or a program has
// proved.
const rememberOthers = 2 * time.Minute

func passwdSource(file *passwdfile.File) auth.Source {
	return auth.Source{
		Authenticator: file, Looker: file, Secrets: file, Fields: file.Fields, Version: file.Version, Costly: true,
	}
}

// openMasters gives those who may sign in to the accounts of others, or nil.
func (d *Daemon) openMasters(c *config.Config, a *accounts) (*auth.Masters, error) {
	m := c.Accounts.Masters
	if m.PasswdFile == "" {
		return nil, nil
	}
	file, err := d.openPasswdFile(m.PasswdFile, c.File)
	if err != nil {
		return nil, fmt.Errorf("accounts.masters.passwd_file: %w", err)
	}
	a.files = append(a.files, file)
	var nets []netip.Prefix
	if m.From != nil {
		nets = append([]netip.Prefix{}, prefixes(m.From)...)
	}
	return &auth.Masters{Source: passwdSource(file), Separator: m.Separator[0], Networks: nets}, nil
}

// openPasswdFile opens a file of accounts.
func (d *Daemon) openPasswdFile(path, configFile string) (*passwdfile.File, error) {
	file, err := passwdfile.Open(path, passwdfile.Options{
		Report: func(err error) { d.log.Error("accounts", "error", err) },
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is not there; make it with: postwain user add NAME --config %s", path, cmp.Or(configFile, "FILE"))
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; give it to the user of the server (%d) by chown", err, os.Geteuid())
	case err != nil:
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&0o007 != 0 {
		d.log.Warn("accounts", "warning", fmt.Sprintf("%s holds the hashes of passwords and everybody may read it (mode %04o): chmod o= %[1]s",
			path, info.Mode().Perm()))
	}
	return file, nil
}

// keptKey gives the random octets that are kept in a file, made at the first
// time.
func keptKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err == nil && len(key) >= 32 {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key = make([]byte, 32)
	rand.Read(key)
	return key, os.WriteFile(path, key, 0o600)
}

// reopenAccounts keeps the accounts, with all that is remembered of logins, if
// their sources are the same as before, files all of them.
func (d *Daemon) reopenAccounts(ctx context.Context, c *config.Config) (*accounts, error) {
	a := &c.Accounts
	if !reflect.DeepEqual(c.Accounts, d.config.Accounts) || a.LDAP.Configured() || a.SQL.Configured() || a.OAuth.Configured() {
		return d.openAccounts(ctx, c)
	}
	return d.accounts, d.accounts.reload()
}

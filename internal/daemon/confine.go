package daemon

import (
	"os"
	"path/filepath"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/sandbox"
)

// confine takes from the process what it does not need any more, once its
// listeners are open. It goes on where that is not possible, and says so.
func (d *Daemon) confine() {
	c := d.config
	switch {
	case d.options.Confine == nil:
		return
	case c.Accounts.PAM.Configured() || c.Accounts.Command.Configured():
		d.log.Info("not confined: what PAM and other programs need is not known")
		return
	}
	report, err := d.options.Confine(paths(c))
	if err != nil {
		d.log.Error("not confined as it should be", "error", err, "confined", report.String())
		return
	}
	d.log.Info("confined", "confined", report.String())
}

// paths are what a server with this configuration opens after its start, and
// when it reads the configuration again.
func paths(c *config.Config) sandbox.Paths {
	a := &c.Accounts
	p := sandbox.Paths{Write: []string{c.StateDir}}
	if c.Mail.Store == config.Maildir {
		p.Write = append(p.Write, mailRoot(c.Mail.Path))
	}
	read := func(files ...string) {
		for _, f := range files {
			if f != "" {
				p.Read = append(p.Read, filepath.Dir(f))
				p.Read = append(p.Read, ifLink(f)...)
			}
		}
	}
	if c.File != "" {
		if file, err := filepath.Abs(c.File); err == nil {
			read(file)
		}
	}
	read(c.TLS.Cert, c.TLS.Key, c.TLS.ClientCA, c.TLS.ClientCRL, c.TLS.ACME.CA, c.Kerberos.Keytab, a.PasswdFile, a.Masters.PasswdFile,
		a.LDAP.CA, a.LDAP.BindPasswordFile, a.SQL.DSNFile, a.OAuth.ClientSecretFile, a.OAuth.CA)
	for _, further := range c.TLS.Certificate {
		read(further.Cert, further.Key)
	}
	if c.TLS.ACME.Configured() {
		p.Write = append(p.Write, acmeDir(c))
	}
	if a.AppPasswords != "" { // when one was used is noted beside it
		p.Write = append(p.Write, filepath.Dir(a.AppPasswords))
		p.Write = append(p.Write, ifLink(a.AppPasswords)...)
	}
	for _, l := range c.Listen {
		if l.Addr.Network == "unix" {
			p.Write = append(p.Write, filepath.Dir(l.Addr.Address))
		}
	}
	return sandbox.System().With(p)
}

// ifLink gives a file that is a link, perhaps to another directory.
func ifLink(file string) []string {
	if info, err := os.Lstat(file); err == nil && info.Mode()&os.ModeSymlink != 0 {
		return []string{file}
	}
	return nil
}

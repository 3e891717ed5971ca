package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/postwain/postwain/internal/acme"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/fetch/secret"
	"github.com/postwain/postwain/internal/listen"
)

// pairs are the certificates that the configuration names.
func pairs(c *config.Config) []listen.Pair {
	if c.TLS.Cert == "" {
		return nil
	}
	all := []listen.Pair{{Cert: c.TLS.Cert, Key: c.TLS.Key}}
	for _, further := range c.TLS.Certificate {
		all = append(all, listen.Pair(further))
	}
	return all
}

// openTLS reads the certificates of the server, and of those who vouch for
// clients, and opens what ACME needs.
func (d *Daemon) openTLS(ctx context.Context, c *config.Config) (err error) {
	if c.TLS.Cert == "" && !c.TLS.ACME.Configured() {
		return nil
	}
	var warnings []string
	d.certificates, warnings, err = listen.LoadCertificates(pairs(c))
	d.warn(warnings)
	if err != nil {
		return err
	}
	if c.TLS.ClientCA != "" {
		d.clients, warnings, err = listen.LoadClients(clientFiles(c))
		d.warn(warnings)
		if err != nil {
			return err
		}
	}
	if c.TLS.ACME.Configured() {
		err = d.openACME(ctx, &c.TLS.ACME, acmeDir(c))
	}
	return err
}

func clientFiles(c *config.Config) listen.ClientFiles {
	return listen.ClientFiles{CA: c.TLS.ClientCA, CRL: c.TLS.ClientCRL}
}

func (d *Daemon) warn(all []string) {
	for _, w := range all {
		d.log.Warn("certificate", "warning", w)
	}
}

// acmeDir is where ACME keeps what it gets.
func acmeDir(c *config.Config) string {
	return cmp.Or(c.TLS.ACME.Dir, filepath.Join(c.StateDir, "acme"))
}

// openACME opens the socket that the authority comes to.
func (d *Daemon) openACME(ctx context.Context, a *config.ACME, dir string) error {
	o := acme.Options{
		Hosts: a.Hosts, Email: a.Email, Directory: a.Directory, Agree: a.Agree, Challenge: acme.TLSALPN, Dir: dir, RSA: a.RSA, Log: d.log.Logger,
		Report: func(host string, err error) {
			if err != nil {
				d.log.Error("acme", "host", host, "error", err)
				return
			}
			d.log.Info("acme: a certificate is in use", "host", host)
		},
	}
	if a.Challenge == config.HTTP01 {
		o.Challenge = acme.HTTP
	}
	roots, err := tlsConfig(a.CA)
	if err != nil {
		return fmt.Errorf("tls.acme.ca: %w", err)
	}
	if roots != nil {
		o.Roots = roots.RootCAs
	}
	if a.EABKeyFile != "" {
		key, err := secret.File(a.EABKeyFile, secret.MaxPassword)(ctx)
		if err != nil {
			return fmt.Errorf("tls.acme.eab_key_file: %w", err)
		}
		o.EAB = &acme.EAB{KeyID: a.EABKeyID, Key: key}
	}
	if o.Listener, err = listen.Open(ctx, listen.Socket{Network: "tcp", Address: a.Listener().Address}); err != nil {
		return fmt.Errorf("tls.acme: %w", err)
	}
	if d.acme, err = acme.New(o); err != nil {
		return errors.Join(fmt.Errorf("tls.acme: %w", err), o.Listener.Close())
	}
	d.certificates.SetSource(d.acme.GetCertificate)
	return nil
}

// manageTLS begins to get and renew certificates.
func (d *Daemon) manageTLS(ctx context.Context, c *config.Config) error {
	if d.acme == nil {
		return nil
	}
	return d.acme.Manage(ctx)
}

// closeTLS ends what openTLS has begun.
func (d *Daemon) closeTLS() error {
	if d.acme == nil {
		return nil
	}
	return d.acme.Close()
}

// exchangeTLS reads the certificates again, also where the names of their files
// are the same.
func (d *Daemon) exchangeTLS(ctx context.Context, c *config.Config) error {
	if d.certificates == nil {
		return d.openTLS(ctx, c)
	}
	if d.clients != nil {
		warnings, err := d.clients.Reload(clientFiles(c))
		d.warn(warnings)
		if err != nil {
			return err
		}
	}
	all := pairs(c)
	if len(all) == 0 && d.acme == nil {
		d.certificates = nil
		return nil
	}
	warnings, err := d.certificates.Reload(all)
	d.warn(warnings)
	if err == nil && d.acme != nil {
		err = d.acme.Reconfigure(ctx, c.TLS.ACME.Hosts)
	}
	return err
}

// checkLegacy keeps old TLS from where everybody is, and finds out whether old
// clients could use the certificate.
func checkLegacy(c *config.Config) error {
	wrong := []error{Check(c)}
	for _, l := range c.Listen {
		if all := pairs(c); l.Legacy && len(all) > 0 {
			wrong = append(wrong, listen.CheckLegacyPairs(all))
		}
	}
	return errors.Join(wrong...)
}

// Check finds what a daemon would not begin with, as far as c alone tells it:
// old TLS at an address that may be public. No file or address is opened.
func Check(c *config.Config) error {
	var wrong []error
	for _, l := range c.Listen {
		if l.Legacy && l.Addr.Network == "tcp" {
			wrong = append(wrong, listen.CheckLegacyAddress(l.Addr.Address, l.LegacyPublic))
		}
	}
	return errors.Join(wrong...)
}

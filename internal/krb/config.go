package krb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/config"
)

// Bounds of what is asked of whom.
const (
	maxConfig = 256 << 10
	maxKDCs   = 8
)

// Config is what a client must know of its realm: a krb5.conf.
type Config struct{ inner *config.Config }

// ConfigPath gives the file that LoadConfig is to read. names is the value of
// KRB5_CONFIG, paths with colons between them; the first that exists counts.
func ConfigPath(names string) string {
	for _, path := range strings.Split(names, ":") {
		if _, err := os.Stat(path); path != "" && err == nil {
			return path
		}
	}
	return "/etc/krb5.conf"
}

// LoadConfig reads a krb5.conf. Of it count the default realm, the KDCs of the
// realms, whether DNS knows them, and which hosts are of which realm. Its
// include lines are not followed.
func LoadConfig(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("krb: %w", err)
	}
	if len(data) > maxConfig {
		return nil, fmt.Errorf("krb: %s is larger than %d KiB", path, maxConfig>>10)
	}
	return parseConfig(path, string(data))
}

func parseConfig(path, text string) (*Config, error) {
	c := &Config{}
	err := guarded(func() (err error) {
		c.inner, err = config.NewFromString(text)
		return err
	})
	var unsupported config.UnsupportedDirective
	if err != nil && !errors.As(err, &unsupported) || c.inner == nil {
		return nil, fmt.Errorf("krb: %s is malformed: %w", path, err)
	}
	l := &c.inner.LibDefaults
	l.DefaultTktEnctypeIDs, l.DefaultTGSEnctypeIDs = encryptionIDs(), encryptionIDs()
	l.NoAddresses, l.Canonicalize, l.Forwardable, l.Proxiable, l.RenewLifetime = true, false, false, false, 0
	l.KDCDefaultOptions = asn1.BitString{Bytes: make([]byte, 4), BitLength: 32}
	if l.TicketLifetime <= 0 {
		l.TicketLifetime = 10 * time.Hour
	}
	return c, nil
}

// Realm is the default realm, or empty.
func (c *Config) Realm() string { return c.inner.LibDefaults.DefaultRealm }

// realmOf gives the realm of a host, which is that of the client if nothing is
// known of it.
func (c *Config) realmOf(host, client string) string {
	if realm := c.inner.ResolveRealm(host); realm != "" {
		return realm
	}
	return client
}

// kdcs gives the addresses of a realm's KDCs as host:port.
func (c *Config) kdcs(ctx context.Context, realm string) ([]string, error) {
	var all []string
	for _, r := range c.inner.Realms {
		if r.Realm == realm {
			all = append(all, r.KDC...)
		}
	}
	if len(all) == 0 && c.inner.LibDefaults.DNSLookupKDC {
		_, records, err := net.DefaultResolver.LookupSRV(ctx, "kerberos", "tcp", realm) // RFC 4120 §7.2.3.2
		if err != nil {
			return nil, fmt.Errorf("krb: looking for a KDC of %s: %w", quote(realm), err)
		}
		for _, r := range records {
			all = append(all, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))))
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("krb: no KDC of realm %s is known: write it into krb5.conf, or set dns_lookup_kdc = true there", quote(realm))
	}
	return all[:min(len(all), maxKDCs)], nil
}

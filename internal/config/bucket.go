package config

import (
	"net/url"
	"strings"
	"time"
)

// Bucket is an object store with the API of Amazon's S3, for store = "bucket":
// any number of servers may share it, with nothing else between them.
type Bucket struct {
	// Endpoint is the URL of the store, as "https://s3.example.org". Unset:
	// Amazon's, by the region.
	Endpoint string `toml:"endpoint"`
	// Region is where the bucket is. Unset: that of the environment, or
	// us-east-1, which stores that have none call themselves.
	Region string `toml:"region"`
	// Name is the bucket's. It must exist.
	Name string `toml:"name"`
	// Prefix is before all keys, as "mail/", with a slash at its end. Unset: none.
	Prefix string `toml:"prefix"`
	// PathStyle asks for https://endpoint/name in place of https://name.endpoint,
	// as most stores but Amazon's want it.
	PathStyle bool `toml:"path_style"`
	// AccessKey is the key that signs, with secret_key_file. Unset: those of the
	// environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or of the role that
	// the machine has.
	AccessKey string `toml:"access_key"`
	// SecretKeyFile is a file whose first line is the secret key.
	SecretKeyFile string `toml:"secret_key_file"`
	// LeaseTime is for how long nobody can open a maildrop whose server has died.
	LeaseTime time.Duration `toml:"lease_time"`
}

// leastLease leaves time for three renewals on a slow store.
const leastLease = 15 * time.Second

func (d *decoder) checkBucket(c *Config) {
	b := &c.Bucket
	if c.Mail.Store != InBucket {
		if b.Name != "" {
			d.fail("bucket.name", "bucket.name has no meaning without store = \"bucket\" in [mail]")
		}
		return
	}
	switch {
	case b.Name == "":
		d.fail("bucket.name", "bucket.name is missing; write name = \"mail\" in [bucket]")
	case c.Mail.Path != "":
		d.fail("mail.path", "mail.path has no meaning for store = \"bucket\"")
	}
	if u, err := url.Parse(b.Endpoint); b.Endpoint != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
		d.fail("bucket.endpoint", "bucket.endpoint = %q is no URL; write it as \"https://s3.example.org\"", b.Endpoint)
	}
	if b.Prefix != "" && (!strings.HasSuffix(b.Prefix, "/") || strings.HasPrefix(b.Prefix, "/")) {
		d.fail("bucket.prefix", "bucket.prefix = %q has to end in a slash, and not begin with one", b.Prefix)
	}
	if (b.AccessKey == "") != (b.SecretKeyFile == "") {
		d.fail("bucket.access_key", "bucket needs both access_key and secret_key_file, or neither")
	}
	if b.LeaseTime < leastLease {
		d.fail("bucket.lease_time", "bucket.lease_time must be at least %s", formatDuration(leastLease))
	}
}

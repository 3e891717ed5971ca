package cli

import (
	"encoding"
	"errors"
	"flag"
	"slices"
	"strconv"
	"time"

	"github.com/postwain/postwain/internal/config"
)

// fetchMode is how to run, which is no matter of a single mailbox.
type fetchMode struct {
	state  string
	every  time.Duration // 0: once
	json   bool
	dryRun bool
}

// fetchFlags are the flags of fetch: those of a mailbox set the keys that they
// are named after.
type fetchFlags struct {
	flags *flag.FlagSet
	given map[string]bool
	wrong error // the first value that cannot be read
	file  string
	one   config.Fetch
	mode  fetchMode
}

// goesWithFile reports whether a flag is for postwain fetch --config as well.
func goesWithFile(name string) bool {
	return slices.Contains([]string{"config", "state", "every", "json", "dry-run"}, name)
}

func newFetchFlags() *fetchFlags {
	c := &fetchFlags{flags: newFlags(), given: make(map[string]bool), one: config.NewFetch()}
	c.text("config", &c.file)
	c.text("state", &c.mode.state)
	c.form("every", readEvery(&c.mode.every))
	c.truth("json", &c.mode.json)
	c.truth("dry-run", &c.mode.dryRun)

	f := &c.one
	c.form("to", unmarshal(&f.To))
	c.text("password-file", &f.PasswordFile)
	c.form("password-command", unmarshal(&f.PasswordCommand))
	c.form("token-command", unmarshal(&f.TokenCommand))
	c.form("auth", unmarshal(&f.Auth))
	c.text("keytab", &f.Keytab)
	c.text("principal", &f.Principal)
	c.text("ca", &f.CA)
	c.truth("plaintext", &f.Plaintext)
	c.form("timeout", readDuration(&f.Timeout))
	c.truth("keep", &f.Keep)
	c.form("delete-after", readDuration(&f.DeleteAfter))
	c.truth("only-new", &f.OnlyNew)
	c.form("max-size", unmarshal(&f.MaxSize))
	c.form("limit", readNumber(&f.Limit))
	c.text("from", &f.From)
	c.text("recipient", &f.Recipient)
	c.text("to-password-file", &f.ToPasswordFile)
	c.form("to-password-command", unmarshal(&f.ToPasswordCommand))
	c.text("to-ca", &f.ToCA)
	c.truth("to-plaintext", &f.ToPlaintext)
	return c
}

// text defines a flag with a value that must not be empty, as that of a shell's
// variable is that is not set.
func (c *fetchFlags) text(name string, to *string) {
	c.form(name, func(value string) error {
		if value == "" {
			return errors.New("it is empty")
		}
		*to = value
		return nil
	})
}

// form defines a flag with a value that has a form. The flag package would
// repeat a value that cannot be read, and there may be a password in it.
func (c *fetchFlags) form(name string, read func(string) error) {
	c.flags.Func(name, "", func(value string) error {
		c.given[name] = true
		if err := read(value); err != nil && c.wrong == nil {
			c.wrong = usagef("--%s: %v", name, err)
		}
		return nil
	})
}

func (c *fetchFlags) truth(name string, to *bool) {
	c.flags.BoolFunc(name, "", func(value string) (err error) {
		*to, err = strconv.ParseBool(value)
		c.given[name] = *to
		return err
	})
}

func unmarshal(to encoding.TextUnmarshaler) func(string) error {
	return func(value string) error { return to.UnmarshalText([]byte(value)) }
}

func readDuration(to *time.Duration) func(string) error {
	return func(value string) (err error) {
		*to, err = config.ParseDuration(value)
		return err
	}
}

func readEvery(to *time.Duration) func(string) error {
	return func(value string) (err error) {
		if *to, err = config.ParseDuration(value); err == nil && *to < config.LeastEvery {
			err = errors.New("the pause must be at least 10s")
		}
		return err
	}
}

func readNumber(to *int) func(string) error {
	return func(value string) error {
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || n == 0 {
			return errors.New("it is no number from 1 up")
		}
		*to = int(n)
		return nil
	}
}

package passwdfile

import (
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/postwain/postwain/sasl"
)

// table is a file that was read. It is never changed.
type table struct {
	users map[string]*user // by canonical name
	// decoys are the work for names that do not exist.
	decoys decoys
	// served are the schemes of Secret, by name; signers is how many users
	// have a password that somebody may sign in with.
	served  []served
	signers int
	// warnings are about users who cannot sign in; nil if there are none.
	warnings error
}

// inOrder gives the users in the order of the file.
func (t *table) inOrder() iter.Seq[*user] {
	return slices.Values(slices.SortedFunc(maps.Values(t.users), func(a, b *user) int { return a.line - b.line }))
}

// user is one line.
type user struct {
	account string
	line    int
	scheme  string // of secret
	value   string // what secret was made of
	secret  secret // nil: nobody signs in
	fields  map[string]string
	version uint64 // of the whole line

	noLogin bool
}

// Limits of a file.
const (
	maxFile     = 256 << 20
	maxLine     = 64 << 10
	maxWarnings = 20
)

// parse reads a file named path, for errors. An error says that the file as a
// whole is none: a line without a colon, as when it was cut, or one name on
// two lines. What is wrong with one user is a warning.
func parse(path, text string, seed maphash.Seed) (*table, error) {
	t := &table{users: map[string]*user{}}
	var warnings []error
	more := 0 // warnings than are kept
	warn := func(err error) {
		if len(warnings) < maxWarnings {
			warnings = append(warnings, err)
		} else {
			more++
		}
	}
	examples, costs := map[cost]secret{}, map[cost]int{} // a password and the users of each
	for number := 1; text != ""; number++ {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		line = strings.TrimSuffix(line, "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		fail := func(err error) error { return fmt.Errorf("%s:%d: %w", path, number, err) }
		name, fields, ok := strings.Cut(line, ":")
		if !ok || len(line) > maxLine {
			return nil, fail(errors.New("no line of the form name:{SCHEME}hash"))
		}
		account, err := sasl.PrepareUser(name)
		if err != nil {
			warn(fail(errors.New("this name cannot be an account")))
			continue
		}
		if other := t.users[account]; other != nil {
			return nil, fail(fmt.Errorf("the account %q is on line %d already", account, other.line))
		}
		u := &user{account: account, line: number, version: maphash.String(seed, line)}
		if err := u.parse(fields); err != nil {
			warn(fail(fmt.Errorf("%q cannot sign in: %w", account, err)))
		}
		t.users[account] = u
		if u.secret != nil {
			c := u.secret.cost()
			examples[c] = u.secret
			costs[c]++
		}
	}
	if more > 0 {
		warnings = append(warnings, fmt.Errorf("and %d more", more))
	}
	t.warnings = errors.Join(warnings...)
	t.decoys = newDecoys(seed, examples, costs)
	t.served, t.signers = t.serve()
	return t, nil
}

// parse reads what stands behind the name: hash:uid:gid:gecos:home:shell:extra
// fields, of which only the hash and the extra fields mean something here.
func (u *user) parse(line string) (err error) {
	part := strings.SplitN(line, ":", 7)
	if len(part) == 7 {
		if err := u.parseFields(part[6]); err != nil {
			return err
		}
	}
	u.scheme, u.value, u.secret, err = parseSecret(part[0])
	return err
}

// parseFields reads name=value pairs with spaces between them. A name alone
// has the value "yes". A userdb_ in front of a name is dropped, and gives way
// to the name without it.
func (u *user) parseFields(text string) error {
	for f := range strings.FieldsSeq(text) {
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			value = "yes"
		}
		if u.fields == nil {
			u.fields = map[string]string{}
		}
		if short, ok := strings.CutPrefix(name, "userdb_"); ok {
			if _, taken := u.fields[short]; !taken {
				u.fields[short] = value
			}
			continue
		}
		u.fields[name] = value
		switch name {
		case "nologin":
			u.noLogin = !slices.Contains([]string{"", "0", "no", "n", "false", "f"}, value)
		case "allow_nets", "deny_nets":
			if err := checkNets(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNets looks at a list of networks, which whoever asks for the fields
// judges by.
func checkNets(field, list string) error {
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s == "local" {
			continue
		}
		_, err := netip.ParsePrefix(s)
		if _, aerr := netip.ParseAddr(s); aerr != nil && err != nil {
			return fmt.Errorf("%s is no list of addresses and networks with commas between them", field)
		}
	}
	return nil
}

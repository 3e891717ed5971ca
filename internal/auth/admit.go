package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/postwain/postwain/sasl"
)

// Bounds of a field that lists networks.
const (
	maxNets    = 256
	maxNetText = 8 << 10
)

// Admit judges by an account's fields whether it may be used from a place.
// allow_nets lists the only networks from which it may, deny_nets those from
// which it may not, which wins. A list has commas between networks, such as
// 192.0.2.0/24, single addresses, and the word local for what has no address, a
// Unix socket. With nologin, unless it is false, it may not be used at all.
//
// from is the client's address, after a PROXY header; the zero Addr: there is
// none. The error is that of a wrong password where the account may not be used
// (it wraps sasl.ErrRefused). A list that cannot be read is an outage: nobody
// is let in by it.
func Admit(fields map[string]string, from netip.Addr) error {
	if v, ok := fields["nologin"]; ok && !slices.Contains([]string{"", "0", "no", "n", "false", "f"}, v) {
		return errRefused
	}
	from = from.Unmap().WithZone("")
	denied, has, err := listed(fields, "deny_nets", from)
	if err != nil {
		return err
	}
	allowed, only, err := listed(fields, "allow_nets", from)
	switch {
	case err != nil:
		return err
	case has && denied, only && !allowed:
		return errRefused
	}
	return nil
}

// Admit asks the source for the account's fields and judges by them. A source
// without fields admits from everywhere. That the account has none where it
// should is an outage too.
//
// Authenticate and what is behind Guard have asked already, so that their
// refusals are alike. A server asks again before it opens the mail, for every
// mechanism: a certificate or a ticket proves an account without them.
func (s Source) Admit(ctx context.Context, account string, from netip.Addr) error {
	err := s.admission(ctx, account, from)
	if err == nil || errors.Is(err, sasl.ErrRefused) {
		return err
	}
	return fmt.Errorf("auth: fields of the account: %w", err)
}

func (s Source) admission(ctx context.Context, account string, from netip.Addr) error {
	if s.Fields == nil {
		return nil
	}
	fields, err := s.Fields(ctx, account)
	if err != nil {
		return err
	}
	return Admit(fields, from)
}

// listed reports whether the field is there, and from in it.
func listed(fields map[string]string, name string, from netip.Addr) (in, has bool, err error) {
	text, has := fields[name]
	if !has {
		return false, false, nil
	}
	if len(text) > maxNetText || strings.Count(text, ",") >= maxNets {
		return false, true, fmt.Errorf("auth: %s has more than %d networks", name, maxNets)
	}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.Trim(item, " \t")
		if item == "local" {
			in = in || !from.IsValid()
			continue
		}
		net, err := parseNet(item)
		if err != nil { // also behind one that matches: a list is good or not
			return false, true, fmt.Errorf("auth: %s: %w", name, err)
		}
		in = in || net.Contains(from)
	}
	return in, true, nil
}

// parseNet reads a network or an address.
func parseNet(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%.64q is no network", text)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%.64q is no network", text)
	}
	return plainNet(p)
}

// plainNet writes IPv4 networks as such: clients' addresses are never mapped
// ones.
func plainNet(p netip.Prefix) (netip.Prefix, error) {
	switch {
	case !p.IsValid():
		return p, errors.New("a network is not valid")
	case !p.Addr().Is4In6():
		return p, nil
	case p.Bits() < 96:
		return p, fmt.Errorf("%s has IPv4 and IPv6 addresses: write two networks", p)
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96), nil
}

// within reports whether a is in one of nets.
func within(nets []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// admitted is an Authenticator that signs nobody in from where their account
// may not be used.
type admitted struct {
	source Source
	inner  sasl.Authenticator
}

func (a admitted) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	account, err := a.inner.Authenticate(ctx, l)
	if err == nil {
		err = a.source.Admit(ctx, account, l.Remote)
	}
	if err != nil {
		return "", err
	}
	return account, nil
}

package maildir

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/postwain/postwain/internal/fsx"
)

// When a Maildir is seen for the first time, the UIDs that another POP3 server
// gave its messages are taken over, so that no client downloads them again.
// The files that tell of them are only believed for messages that are there,
// and only as far as they give valid UIDs.

const (
	dovecotList = "dovecot-uidlist"
	courierList = "courierpop3dsizelist"
	maxList     = 256 << 20
)

// foreign is what another server says of a message.
type foreign struct {
	uid   string
	order uint64 // smaller is older
}

// takeOver gives the records for files in the order of the other server.
func (s *Store) takeOver(ctx context.Context, d *drop, home fsx.Dir, files []file) ([]uidRec, error) {
	known, source, err := s.readForeign(home)
	if err != nil || len(known) == 0 {
		return nil, err
	}
	type match struct {
		uidRec
		order uint64
	}
	var list []match
	for _, f := range files {
		unique := f.name[:uniqueLen(f.name)]
		if k, ok := known[f.base()]; ok {
			list = append(list, match{uidRec{kindUnique, k.uid, unique}, k.order})
		} else if k, ok := known[unique]; ok {
			list = append(list, match{uidRec{kindUnique, k.uid, unique}, k.order})
		}
	}
	slices.SortStableFunc(list, func(a, b match) int { return cmp.Compare(a.order, b.order) })
	uids := make(map[string]bool, len(list))
	names := make(map[string]bool, len(list))
	var recs []uidRec
	for _, m := range list {
		if validUID(m.uid) && !uids[m.uid] && !names[m.name] {
			uids[m.uid], names[m.name] = true, true
			recs = append(recs, m.uidRec)
		}
	}
	s.opts.Log.Info("maildir: took UIDs over", "maildir", d.key, "from", source, "messages", len(recs), "of", len(files))
	return recs, ctx.Err()
}

// readForeign reads the file that there is, by base of name and unique name.
func (s *Store) readForeign(home fsx.Dir) (known map[string]foreign, source string, err error) {
	for _, source := range []string{dovecotList, courierList} {
		data, err := readAll(home, source, maxList)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fsx.ErrNotRegular):
			continue
		case err != nil:
			return nil, "", err
		}
		if source == dovecotList {
			known = parseDovecot(data, s.uidl)
		} else {
			known = parseCourier(data)
		}
		if len(known) > 0 {
			return known, source, nil
		}
	}
	return nil, "", nil
}

// parseDovecot reads a dovecot-uidlist, version 3:
//
//	3 V<uid validity> N<next uid> G<guid>
//	<uid> [<key><value> ...] :<file name>
//
// A P gives the UID that POP3 shows, empty for the base of the name; an O the
// place in the order of POP3, before all that have none; a G the GUID. Of two
// lines for one name the later counts.
func parseDovecot(data []byte, format uidlFormat) map[string]foreign {
	head, rest, _ := bytes.Cut(data, []byte{'\n'})
	fields := strings.Fields(string(head))
	if len(fields) == 0 || fields[0] != "3" {
		return nil
	}
	var validity uint64
	for _, f := range fields[1:] {
		if f[0] == 'V' {
			validity, _ = strconv.ParseUint(f[1:], 10, 32)
		}
	}
	known := make(map[string]foreign)
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte{'\n'})
		attrs, name, ok := strings.Cut(string(line), ":")
		if !ok || name == "" {
			continue
		}
		base := name[:baseLen(name)]
		first, attrs, _ := strings.Cut(attrs, " ")
		uid, err := strconv.ParseUint(first, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		known[base] = dovecotLine(attrs, base, uid, validity, format)
	}
	return known
}

func dovecotLine(attrs, base string, uid, validity uint64, format uidlFormat) foreign {
	const unordered = 1 << 32
	f := foreign{order: unordered + uid}
	guid, pop3 := base, ""
	for _, a := range strings.Fields(attrs) {
		switch value := a[1:]; a[0] {
		case 'P':
			if pop3 = value; pop3 == "" {
				pop3 = base
			}
		case 'O':
			if n, err := strconv.ParseUint(value, 10, 32); err == nil {
				f.order = n
			}
		case 'G':
			if value != "" {
				guid = value
			}
		}
	}
	if f.uid = pop3; f.uid == "" {
		f.uid = format.expand(uid, validity, base, guid)
	}
	return f
}

// parseCourier reads a courierpop3dsizelist, version 2 or 3:
//
//	/<version> <next uid> <uid validity>
//	<file name> <size> <uid>:<uid validity>[:<utf8>]
//
// Its UIDs are UIDn-v, UIDn if v is 0, and the base of the name if n is 0.
func parseCourier(data []byte) map[string]foreign {
	head, rest, _ := bytes.Cut(data, []byte{'\n'})
	if !bytes.HasPrefix(head, []byte("/2 ")) && !bytes.HasPrefix(head, []byte("/3 ")) {
		return nil
	}
	known := make(map[string]foreign)
	for order := uint64(0); len(rest) > 0; order++ {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte{'\n'})
		text := string(line)
		i := strings.LastIndexByte(text, ' ')
		if i < 0 {
			continue
		}
		j := strings.LastIndexByte(text[:i], ' ')
		if j <= 0 {
			continue
		}
		ids := strings.Split(text[i+1:], ":")
		if len(ids) < 2 {
			continue
		}
		n, err := strconv.ParseUint(ids[0], 10, 64)
		v, err2 := strconv.ParseUint(ids[1], 10, 64)
		if err != nil || err2 != nil {
			continue
		}
		base := text[:baseLen(text[:j])]
		known[base] = foreign{courierUID(n, v, base), order}
	}
	return known
}

func courierUID(n, v uint64, base string) string {
	switch {
	case n != 0 && v != 0:
		return fmt.Sprintf("UID%d-%d", n, v)
	case n != 0:
		return fmt.Sprintf("UID%d", n)
	}
	var b strings.Builder
	for i := 0; i < len(base); i++ {
		if c := base[i]; c < 0x21 || c > 0x7E || strings.IndexByte(`'"+`, c) >= 0 {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// uidlFormat is a Dovecot pop3_uidl_format taken apart.
type uidlFormat []uidlPart

// uidlPart is literal text, or a variable and how it is written.
type uidlPart struct {
	text  string
	kind  byte // 'u', 'v', 'f', 'g'; 0: text
	hex   bool
	zero  bool
	width int
}

// parseUIDLFormat knows %u (UID), %v (UID validity), %f (file name) and %g
// (GUID), the modifier X and a width, and the long names of Dovecot 2.4's
// predecessors such as %{uid}.
func parseUIDLFormat(s string) (uidlFormat, error) {
	bad := fmt.Errorf("maildir: POP3 UIDL format %q: only %%u, %%v, %%f and %%g with the modifiers of %%08Xu are known", s)
	var list uidlFormat
	for i := 0; i < len(s); {
		text, rest, ok := strings.Cut(s[i:], "%")
		if text != "" {
			list = append(list, uidlPart{text: text})
		}
		if !ok {
			break
		}
		i = len(s) - len(rest)
		if strings.HasPrefix(rest, "%") {
			list = append(list, uidlPart{text: "%"})
			i++
			continue
		}
		part, n := parseUIDLPart(rest)
		if n == 0 {
			return nil, bad
		}
		list = append(list, part)
		i += n
	}
	if !slices.ContainsFunc(list, func(p uidlPart) bool { return p.kind != 0 && p.kind != 'v' }) {
		return nil, bad // all messages would have the same
	}
	return list, nil
}

// parseUIDLPart reads the variable at the head of s and says how long it is, 0
// if it is none.
func parseUIDLPart(s string) (p uidlPart, n int) {
	if n < len(s) && s[n] == '0' {
		p.zero = true
		n++
	}
	for ; n < len(s) && s[n] >= '0' && s[n] <= '9'; n++ {
		if p.width = p.width*10 + int(s[n]-'0'); p.width > 64 {
			return p, 0
		}
	}
	if n < len(s) && s[n] == 'X' {
		p.hex = true
		n++
	}
	long := map[string]byte{"{uid}": 'u', "{uidvalidity}": 'v', "{filename}": 'f', "{guid}": 'g'}
	for name, kind := range long {
		if strings.HasPrefix(s[n:], name) {
			p.kind = kind
			return p, n + len(name)
		}
	}
	if n == len(s) || strings.IndexByte("uvfg", s[n]) < 0 {
		return p, 0
	}
	p.kind = s[n]
	return p, n + 1
}

func (f uidlFormat) expand(uid, validity uint64, base, guid string) string {
	var b strings.Builder
	for _, p := range f {
		value := p.text
		switch p.kind {
		case 'u':
			value = p.number(uid)
		case 'v':
			value = p.number(validity)
		case 'f':
			value = p.cut(base)
		case 'g':
			value = p.cut(guid)
		}
		b.WriteString(value)
	}
	return b.String()
}

// number writes n as Dovecot does: a width that begins with 0 pads, any other
// cuts.
func (p *uidlPart) number(n uint64) string {
	base := 10
	if p.hex {
		base = 16
	}
	s := strconv.FormatUint(n, base)
	if p.zero {
		return strings.Repeat("0", max(0, p.width-len(s))) + s
	}
	return p.cut(s)
}

func (p *uidlPart) cut(s string) string {
	if p.width > 0 && len(s) > p.width {
		return s[:p.width]
	}
	return s
}

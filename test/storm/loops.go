package storm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/postwain/postwain/internal/dot"
	"github.com/postwain/postwain/internal/lmtp"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

// The targets of all loops together are 10^8.
func loops() []loop {
	return []loop{
		{name: "commands", batch: 10_000_000, target: 40_000_000, judge: command,
			mutants: []mutant{{"numbers may have a leading zero", leadingZero}}},
		{name: "replies", batch: 5_000_000, target: 20_000_000, judge: reply,
			mutants: []mutant{{"a server's words are shown as they are", func(w *words) error { return telling("", errors.New(strings.TrimSpace(w.answer()))) }}}},
		{name: "dots and line ends", batch: 5_000_000, target: 30_000_000, judge: func(w *words) error { return roundTrip(w, stuffed) },
			mutants: []mutant{{"a dot at octet 0 is not doubled", func(w *words) error { return roundTrip(w, firstDotForgotten) }}}},
		{name: "sessions of the server", batch: 100_000, target: 4_000_000, judge: served(false),
			mutants: []mutant{{"mail goes at DELE", served(true)}}},
		{name: "sessions of LMTP", batch: 200_000, target: 3_000_000, judge: posted(dataEnds),
			mutants: []mutant{{"a bare LF ends a message", posted(lineFeedEnds)}}},
		{name: "sessions of the client", batch: 200_000, target: 3_000_000, judge: visited},
	}
}

func command(w *words) error {
	line := strings.TrimSuffix(w.command(), "\r\n")
	c, err := pop3.ParseCommand([]byte(line))
	if err != nil || c.Verb == pop3.Unknown {
		return nil
	}
	if len(line) < len(c.Verb.String()) || !pop3.EqualASCII(line[:len(c.Verb.String())], c.Verb.String()) || !strings.HasSuffix(line, string(c.Arg)) {
		return fmt.Errorf("%q parses as %v %q", line, c.Verb, c.Arg)
	}
	return number(c.Arg, pop3.ParseNumber)
}

func number(arg []byte, parse func([]byte) (int, error)) error {
	if n, err := parse(arg); err == nil && (n < 0 || strconv.Itoa(n) != string(arg)) {
		return fmt.Errorf("%q parses as the number %d", arg, n)
	}
	return nil
}

func leadingZero(w *words) error {
	return number([]byte(w.number()), func(arg []byte) (int, error) { return pop3.ParseNumber(bytes.TrimLeft(arg, "0")) })
}

func reply(w *words) error {
	line := strings.TrimRight(w.answer(), "\r\n")
	r, err := pop3.ParseReply([]byte(line))
	if err != nil {
		return nil
	}
	if !strings.HasSuffix(line, string(r.Text)) {
		return fmt.Errorf("%q gives the text %q", line, r.Text)
	}
	if e := r.Err(); e != nil && !harmless(e.Error()) {
		return fmt.Errorf("%q gives %q", line, e.Error())
	}
	return nil
}

// harmless reports whether a terminal shows text and does nothing else.
func harmless(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' || 0x7F <= r && r < 0xA0 || 0x202A <= r && r <= 0x202E || 0x2066 <= r && r <= 0x2069
	})
}

func stuffed(m []byte) ([]byte, error) {
	var out bytes.Buffer
	d := dot.NewWriter(&out)
	if _, err := d.Write(m); err != nil {
		return nil, err
	}
	err := d.Close()
	return out.Bytes(), err
}

func firstDotForgotten(m []byte) ([]byte, error) {
	out, err := stuffed(m)
	if len(m) > 0 && m[0] == '.' {
		out = out[1:]
	}
	return out, err
}

// roundTrip holds a message's octets against what a client makes of them
// (RFC 1939 §3), and Octets against both.
func roundTrip(w *words, stuff func([]byte) ([]byte, error)) error {
	m := w.message()
	out, err := stuff(m)
	if err != nil {
		return err
	}
	br := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(out), strings.NewReader("next")), 16+w.rand.IntN(64))
	got, err := io.ReadAll(dot.NewReader(br))
	if want := canonical(m); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("%q came back as %q, %v", m, got, err)
	}
	if rest, err := io.ReadAll(br); err != nil || string(rest) != "next" {
		return fmt.Errorf("%q left %q behind it, %v", m, rest, err)
	}
	if n, err := maildrop.Octets(bytes.NewReader(m)); err != nil || n != int64(len(got)) {
		return fmt.Errorf("%q has %d octets and is counted as %d, %v", m, len(got), n, err)
	}
	return nil
}

// canonical is m as a client holds it: every line ends in CRLF, and nothing but
// LF ends one.
func canonical(m []byte) []byte {
	var out []byte
	for line := range bytes.Lines(m) {
		if rest, ended := bytes.CutSuffix(line, []byte("\n")); ended {
			line = bytes.TrimSuffix(rest, []byte("\r"))
		}
		out = append(append(out, line...), "\r\n"...)
	}
	return out
}

type anyone struct{}

func (anyone) Authenticate(_ context.Context, l sasl.Login) (string, error) {
	if l.User == "alice" && l.Password == "secret" {
		return "alice", nil
	}
	return "", sasl.ErrRefused
}

// served plays a session of any commands. Mail goes by QUIT alone.
func served(impatient bool) func(*words) error {
	return func(w *words) error {
		ctx := context.Background()
		store := memdrop.New()
		for _, m := range []string{"Subject: a\n\n.b\n", "c"} {
			if err := store.Deliver(ctx, "alice", maildrop.Incoming{}, strings.NewReader(m)); err != nil {
				return err
			}
		}
		in := ""
		if w.rand.IntN(4) > 0 {
			in = "USER alice\r\nPASS secret\r\n"
		}
		for range w.rand.IntN(12) {
			in += w.command()
		}
		quits := w.rand.IntN(2) == 0
		if quits {
			in += w.mutated("QUIT\r\n")
		}
		c := &said{in: strings.NewReader(in)}
		srv := pop3server.NewServer(pop3server.Options{Backend: pop3server.New(anyone{}, store)})
		if err := srv.ServeConn(ctx, c, pop3server.Peer{Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 4), Secure: true}); err != nil {
			return err
		}
		out := c.out.String()
		if len(out) > 1<<20 || !strings.HasPrefix(out, "+OK") && !strings.HasPrefix(out, "-ERR") {
			return fmt.Errorf("%q is answered by %d octets, %.100q", in, len(out), out)
		}
		if impatient && strings.Contains(in, "DELE 1\r\n") {
			if err := drop(ctx, store); err != nil {
				return err
			}
		}
		box, err := store.Open(ctx, "alice")
		if err != nil {
			return fmt.Errorf("%q: the maildrop is not free: %w", in, err)
		}
		left := len(box.Messages())
		if err := box.Close(); err != nil {
			return err
		}
		if !quits && left != 2 {
			return fmt.Errorf("%q has no QUIT, and %d of 2 messages are left", in, left)
		}
		return nil
	}
}

func drop(ctx context.Context, store maildrop.Store) error {
	box, err := store.Open(ctx, "alice")
	if err != nil || len(box.Messages()) == 0 {
		return err
	}
	return errors.Join(box.Commit(ctx, []int{0}), box.Close())
}

func dataEnds(in string) int     { return strings.Count(in, "\r\n.\r\n") + strings.Count(in, "BDAT") }
func lineFeedEnds(in string) int { return dataEnds(in) - strings.Count(in, "DATA\r\n") }

// posted plays a session of LMTP. Nothing is delivered whose end did not come,
// and nothing with a bare line end.
func posted(ends func(string) int) func(*words) error {
	return func(w *words) error {
		in := "LHLO mx\r\n"
		for range w.rand.IntN(14) {
			in += w.posting()
		}
		taken := &taken{}
		c := &said{in: strings.NewReader(in)}
		lmtp.NewServer(lmtp.Options{Hostname: "mail.example.org", Deliverer: taken, Resolver: taken, MaxMessage: 16 << 10}).ServeConn(c)
		for line := range strings.Lines(c.out.String()) {
			if len(line) < 6 || line[0] < '2' || line[0] > '5' || !strings.HasSuffix(line, "\r\n") || !harmless(strings.TrimSuffix(line, "\r\n")) {
				return fmt.Errorf("%q is answered by %q", in, line)
			}
		}
		if most := ends(in); len(taken.mail) > most*2 {
			return fmt.Errorf("%q has at most %d ends for two people, and %d messages were delivered", in, most, len(taken.mail))
		}
		for _, m := range taken.mail {
			if strings.ContainsAny(strings.ReplaceAll(m, "\r\n", ""), "\r\n") {
				return fmt.Errorf("%q delivers %q", in, m)
			}
		}
		return nil
	}
}

// visited plays a session with a server that says anything. The client ends,
// and its errors do nothing to a terminal.
func visited(w *words) error {
	said := &said{}
	talk := ""
	for range w.rand.IntN(14) {
		talk += w.answer()
	}
	said.in = strings.NewReader(talk)
	ctx := context.Background()
	c, err := pop3client.New(ctx, said, pop3client.Options{NoCapa: w.rand.IntN(2) == 0})
	if err != nil {
		return telling(talk, err)
	}
	defer c.Close()
	errs := []error{c.SignIn(ctx, pop3client.Credentials{User: "alice", Password: "secret", Plaintext: true})}
	list, err := c.UIDL(ctx)
	errs = append(errs, err)
	last := 0
	for _, l := range list {
		if l.Number <= last {
			return fmt.Errorf("%q gives the listing %+v", talk, list)
		}
		last = l.Number
	}
	_, err = c.List(ctx)
	errs = append(errs, err, c.Quit(ctx))
	for _, err := range errs {
		if err := telling(talk, err); err != nil {
			return err
		}
	}
	return nil
}

func telling(talk string, err error) error {
	if err != nil && (!harmless(err.Error()) || len(err.Error()) > 8<<10) {
		return fmt.Errorf("%q gives the error %q", talk, err.Error())
	}
	return nil
}

package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"

	"github.com/postwain/postwain/test/campaign"
	"github.com/postwain/postwain/test/rig"
)

// visits are sessions with one server, until so many commands were compared.
type visits struct {
	peer     peer
	random   *rand.Rand
	commands int64
	seen     map[difference]int
	example  map[difference]string

	drop []letter // what the model has
	full bool     // the drop is what the server has
}

func (v *visits) note(state, kind, how, example string) {
	d := difference{v.peer.name, state, kind, how}
	if v.seen[d]++; v.seen[d] == 1 {
		v.example[d] = example
	}
}

// run makes sessions up to most commands.
func (v *visits) run(ctx context.Context, most int64) error {
	for sessions := 0; v.commands < most; sessions++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !v.full || len(v.drop) < 2 || sessions%12 == 0 {
			if err := v.fill(); err != nil {
				return fmt.Errorf("%s: %w", v.peer.name, err)
			}
		}
		if err := v.session(); err != nil {
			return fmt.Errorf("%s: %w", v.peer.name, err)
		}
	}
	return nil
}

// fill gives the server new mail and looks at what it makes of it, which is what
// the model has from then on.
func (v *visits) fill() error {
	letters := plainLetters(v.random, []int{1, 2, 5, 17}[v.random.IntN(4)])
	if err := v.peer.fill(letters); err != nil {
		return err
	}
	for range 2 { // some write into the mail when they see it first
		if err := v.learn(letters); err != nil {
			return err
		}
	}
	v.full = true
	return nil
}

// learn reads all mail.
func (v *visits) learn(letters []string) error {
	c, count, err := v.peer.enter()
	if err != nil {
		return err
	}
	defer c.Close()
	if count != len(letters) {
		v.note("maildrop", "STAT", "other numbers", fmt.Sprintf("%d messages of %d", count, len(letters)))
	}
	v.drop = make([]letter, count)
	left := map[string]bool{}
	for _, text := range letters {
		left[string(canonical(text))] = true
	}
	for i := range v.drop {
		named, err := c.ask(fmt.Sprintf("UIDL %d\r\n", i+1), answer{numbers: make([]int64, 1), uid: "?"})
		if err != nil || !named.ok {
			return fmt.Errorf("UIDL is answered %v, %w", named, err)
		}
		listed, err := c.ask(fmt.Sprintf("LIST %d\r\n", i+1), yes(0, 0))
		if err != nil || len(listed.numbers) != 2 {
			return fmt.Errorf("LIST is answered %v, %w", listed, err)
		}
		sent, err := c.ask(fmt.Sprintf("RETR %d\r\n", i+1), many(nil))
		if err != nil || !sent.ok {
			return fmt.Errorf("RETR is answered %v, %w", sent, err)
		}
		v.drop[i] = letter{named.uid, sent.lines, listed.numbers[1]}
		if listed.numbers[1] != int64(len(sent.lines)) {
			v.note("maildrop", "LIST and RETR", "other numbers", fmt.Sprintf("%d octets are listed and %d sent", listed.numbers[1], len(sent.lines)))
		}
		if v.peer.keeps && !left[string(sent.lines)] || !v.peer.keeps && !contained(left, sent.lines) {
			v.note("maildrop", "RETR", "other lines", fmt.Sprintf("%.300q is none of those that were put there", sent.lines))
		}
	}
	_, err = c.ask("QUIT\r\n", yes())
	return err
}

// contained reports whether the text ends in the body of one of the letters.
func contained(letters map[string]bool, text []byte) bool {
	_, body, _ := strings.Cut(string(text), "\r\n\r\n")
	for l := range letters {
		if _, b, _ := strings.Cut(l, "\r\n\r\n"); b == body {
			return true
		}
	}
	return false
}

// session is one of a client's. It ends early where the server has gone another
// way than the model.
func (v *visits) session() error {
	c, count, err := v.peer.enter()
	if err != nil {
		return err
	}
	err = errors.Join(v.look(c, count), c.Close())
	if err != nil || !v.full {
		return err
	}
	if c, err = v.peer.again(); err != nil {
		return err
	}
	defer c.Close()
	s := &session{users: map[string]string{v.peer.user: rig.Password}, drop: v.drop}
	for _, step := range (stream{v.random, v.peer.user, rig.Password, len(v.drop), false}).session() {
		state := s.state
		want := s.say(step.line)
		got, err := c.ask(step.line, want)
		v.commands++
		if want.closed && err == nil {
			got.closed = true // whoever said goodbye may wait for us
		}
		d := want.differs(got)
		if d != "" {
			v.note(state.String(), step.kind, d, fmt.Sprintf("%q: want %v, got %v, %v", step.line, want, got, err))
		} else if err != nil {
			return fmt.Errorf("%q: %w", step.line, err)
		}
		if d != "" && parts(step, want, got) {
			// A QUIT that only one of the two has understood leaves other mail.
			v.full = s.state == transaction && !strings.HasPrefix(step.kind, "QUIT")
			return nil
		}
		if s.state == over {
			break
		}
	}
	v.drop = s.left()
	return nil
}

// parts reports whether the model and the server have parted at a step.
func parts(s step, want, got answer) bool {
	if got.closed || want.closed {
		return true
	}
	verb := strings.ToUpper(strings.Fields(s.line)[0])
	switch verb {
	case "DELE", "RSET", "QUIT", "USER", "PASS":
		return want.ok != got.ok
	case "LIST", "UIDL", "RETR", "TOP", "CAPA", "AUTH", "LANG", "XTND":
		return got.ok && !want.ok // nobody knows how many lines follow
	}
	return false
}

// look holds what is left of the mail against the model.
func (v *visits) look(c *caller, count int) error {
	var b bytes.Buffer
	for i, l := range v.drop {
		fmt.Fprintf(&b, "%d %s\r\n", i+1, l.uid)
	}
	want := many(b.Bytes())
	got, err := c.ask("UIDL\r\n", want)
	if err != nil {
		return err
	}
	if d := want.differs(got); d != "" {
		v.note("maildrop", "UIDL after a session", d, fmt.Sprintf("want %v, got %v", want, got))
		v.full = false
	}
	_, err = c.ask("QUIT\r\n", yes())
	return err
}

// again calls a server when the maildrop is free.
func (p peer) again() (*caller, error) {
	c, _, err := p.enter()
	if err != nil {
		return nil, err
	}
	if _, err = c.ask("QUIT\r\n", yes()); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.Close(); err != nil {
		return nil, err
	}
	return p.call()
}

// strangers are the campaigns with servers of this machine.
func strangers() []campaign.Campaign {
	return []campaign.Campaign{{
		Name: "differences from seven servers", Unit: "commands", Target: 1_000_000, Needs: needs,
		Run: peersTrial{commands: 2500, explained: listed}.run,
		Mutants: []campaign.Mutant{{Name: "nothing is explained", Run: func(ctx context.Context) (campaign.Result, error) {
			return peersTrial{commands: 100}.run(ctx, 1)
		}}},
	}}
}

func needs() error {
	if os.Geteuid() != 0 {
		return errors.New("root, for the other servers' users and a place of their own")
	}
	return nil
}

// peersTrial holds all servers against the model, each for so many commands.
type peersTrial struct {
	commands  int64
	explained string // as in differences.txt
}

func (t peersTrial) run(ctx context.Context, seed uint64) (r campaign.Result, err error) {
	explained, err := parseKnown(t.explained)
	if err != nil {
		return r, err
	}
	w, err := newTown()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	all := make([]*visits, len(w.peers))
	for i, p := range w.peers {
		all[i] = &visits{peer: p, random: rand.New(rand.NewPCG(seed, uint64(i))), seen: map[difference]int{}, example: map[difference]string{}}
	}
	if err := t.visit(ctx, all); err != nil {
		return r, err
	}
	differences := 0
	for _, v := range all {
		r.Count += v.commands
		for d, n := range v.seen {
			differences += n
			if !explained.has(d) {
				r.Find("seed %d: %s (%d times): %s", seed, d, n, v.example[d])
			}
		}
	}
	r.Figures = append(r.Figures, campaign.Figure{Name: "explained differences", Value: fmt.Sprint(differences)})
	return r, nil
}

// visit sends clients to all servers. Those that share their mail have them one
// after another.
func (t peersTrial) visit(ctx context.Context, all []*visits) error {
	byMail := map[string][]*visits{}
	for _, v := range all {
		byMail[v.peer.mail] = append(byMail[v.peer.mail], v)
	}
	var busy sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for _, some := range byMail {
		busy.Go(func() {
			for _, v := range some {
				if err := v.run(ctx, t.commands); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	busy.Wait()
	return failed
}

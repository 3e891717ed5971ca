package inject

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/postwain/postwain/test/campaign"
	"github.com/postwain/postwain/test/rig"
)

// hauls has a fetcher empty maildrops into Maildirs, killed at any moment and
// started again, until there is nothing left. Each message has to arrive once.
type hauls struct {
	kills int // of a batch
	keep  bool
	harm  func(maildir string) error // a mutant, as in trial
}

func (h hauls) once(ctx context.Context) (campaign.Result, error) { return h.run(ctx, 1) }

// depot is where the hauls of a batch begin and end.
type depot struct {
	*rig.Stand
	fetcher rig.Fetcher
}

func (h hauls) run(ctx context.Context, seed uint64) (r campaign.Result, err error) {
	stand, err := rig.NewStand("")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stand.Close()) }()
	d := depot{stand, rig.PostwainFetch(stand.Binary, "maildir")}
	random := rand.New(rand.NewPCG(seed, 0))
	count := 0
	for round := 0; r.Count < int64(h.kills) && len(r.Findings) == 0; round++ {
		n, err := h.haul(ctx, d, fmt.Sprintf("user%d", round), random, &r)
		if err != nil {
			return r, fmt.Errorf("inject: seed %d, round %d: %w", seed, round, err)
		}
		if count += n; len(r.Findings) > 0 {
			r.Findings[0] = fmt.Sprintf("seed %d, round %d: %s", seed, round, r.Findings[0])
		}
	}
	r.Figures = []campaign.Figure{{Name: "messages fetched", Value: fmt.Sprint(count)}}
	return r, nil
}

// haul empties one maildrop, with kills on the way.
func (h hauls) haul(ctx context.Context, d depot, name string, random *rand.Rand, r *campaign.Result) (count int, err error) {
	account := rig.Account(name)
	if err := d.AddAccounts(account); err != nil {
		return 0, err
	}
	sent, err := stock(d.Maildir(account), 100+random.IntN(200), random)
	if err != nil {
		return 0, err
	}
	there := rig.Haul{Port: d.Server.POP3, Account: account, Keep: h.keep, State: filepath.Join(d.Dir, "state-"+name), Maildir: filepath.Join(d.Dir, "fetched-"+name)}
	if err := errors.Join(os.Mkdir(there.State, 0o700), os.Mkdir(there.Maildir, 0o700)); err != nil {
		return 0, err
	}
	for range 8 {
		killed, err := h.strike(d.fetcher, there, time.Duration(3+random.IntN(60))*time.Millisecond)
		if err != nil {
			return 0, err
		}
		if !killed {
			break
		}
		r.Count++
	}
	if err := h.finish(ctx, d.fetcher, there); err != nil {
		return 0, err
	}
	if h.harm != nil {
		if err := h.harm(there.Maildir); err != nil {
			return 0, err
		}
	}
	h.judge(ctx, d, there, sent, r)
	return len(sent), ctx.Err()
}

// stock puts n messages into a Maildir and gives their texts by token.
func stock(maildir string, n int, random *rand.Rand) (map[string]string, error) {
	sent := map[string]string{}
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(maildir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	for i := range n {
		token := fmt.Sprintf("%d-%d", i, random.Uint32())
		sent[token] = tokenHeader + token + "\n\n" + strings.Repeat(".a line of "+token+"\n", 1+random.IntN(300))
		path := filepath.Join(maildir, "new", fmt.Sprintf("%d.M%dP1.host", 1_700_000_000+i, i))
		if err := os.WriteFile(path, []byte(sent[token]), 0o600); err != nil {
			return nil, err
		}
	}
	return sent, filepath.WalkDir(filepath.Dir(maildir), func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, rig.MailID, rig.MailID))
	})
}

// strike starts the fetcher and kills it after a while, and reports whether it
// was still there.
func (h hauls) strike(f rig.Fetcher, haul rig.Haul, after time.Duration) (killed bool, err error) {
	cmd, err := f.Command(haul)
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended
	defer timer.Stop()
	failed := (*exec.ExitError)(nil)
	if err := cmd.Wait(); err == nil || !errors.As(err, &failed) {
		return false, err
	}
	return failed.ExitCode() == -1, nil
}

// finish runs the fetcher until it says that nothing is left to be done.
func (h hauls) finish(ctx context.Context, f rig.Fetcher, haul rig.Haul) error {
	tick := time.NewTicker(100 * time.Millisecond) // the session of one that was killed may last a moment
	defer tick.Stop()
	var said []byte
	for range 50 {
		cmd, err := f.Command(haul)
		if err != nil {
			return err
		}
		said, err = cmd.CombinedOutput()
		if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
			return err
		}
		if f.Done(cmd.ProcessState.ExitCode()) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("the fetcher does not come to an end: %.1000s", said)
}

// judge counts what has arrived, and looks at what is left.
func (h hauls) judge(ctx context.Context, d depot, haul rig.Haul, sent map[string]string, r *campaign.Result) {
	count := map[string]int{}
	for _, sub := range []string{"new", "cur"} {
		paths, err := filepath.Glob(filepath.Join(haul.Maildir, sub, "*"))
		if err != nil {
			r.Find("%v", err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				r.Find("%v", err)
			}
			token := copyOf{text: string(text)}.token()
			if count[token]++; !strings.HasSuffix(string(text), sent[token]) || sent[token] == "" {
				r.Find("%s: %.200q is not what was sent", path, text)
			}
		}
	}
	for token := range sent {
		if count[token] != 1 {
			r.Find("%s: %s has arrived %d times", haul.Account, token, count[token])
		}
	}
	l := &load{books: newBooks(haul.Account), server: &d.Server.Server}
	left, err := l.look(ctx)
	switch {
	case ctx.Err() != nil: // there is no time left to look
	case err != nil:
		r.Find("%s: %v", haul.Account, err)
	case h.keep && len(left) != len(sent), !h.keep && len(left) > 0:
		r.Find("%s: %d of %d messages are left there", haul.Account, len(left), len(sent))
	}
}

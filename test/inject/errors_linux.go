package inject

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/postwain/postwain/test/campaign"
	"github.com/postwain/postwain/test/rig"
)

// ills are the system's calls that a server makes at work, with the errors that
// each may give.
const ills = `
fsync EIO ENOSPC EDQUOT EINTR
fdatasync EIO ENOSPC EDQUOT EINTR
write EIO ENOSPC EDQUOT EINTR
pwrite64 EIO ENOSPC EDQUOT EINTR
openat EIO ENOSPC EDQUOT EMFILE ENFILE EINTR EACCES
renameat2 EIO ENOSPC EDQUOT
renameat EIO ENOSPC EDQUOT
unlinkat EIO ENOSPC
mkdirat EIO ENOSPC EDQUOT
fstat EIO ENOMEM
newfstatat EIO ENOMEM
getdents64 EIO
read EIO EINTR
pread64 EIO EINTR
ftruncate EIO ENOSPC
flock EIO EINTR
accept4 EMFILE ENFILE ECONNABORTED EINTR
`

func needsTracer() error {
	if err := needs(); err != nil {
		return err
	}
	_, err := exec.LookPath("strace")
	return err
}

// sickness has each call fail with each error now and then while clients are at
// work. What they were promised must be true, and the server has to get well by
// itself.
type sickness struct {
	rounds int                        // zero: one for each error
	harm   func(maildir string) error // a mutant, as in trial
}

func (s sickness) once(ctx context.Context) (campaign.Result, error) { return s.run(ctx, 1) }

func (s sickness) run(ctx context.Context, seed uint64) (r campaign.Result, err error) {
	stand, err := rig.NewStand("")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stand.Close()) }()
	server := stand.Server
	all := make([]*books, 2)
	open := func(i, round int) error {
		all[i] = newBooks(rig.Account(fmt.Sprintf("user%d-%d", i, round)))
		return stand.AddAccounts(all[i].account)
	}
	if err := errors.Join(open(0, 0), open(1, 0)); err != nil {
		return r, err
	}
	random := rand.New(rand.NewPCG(seed, 0))
	round := 0
	v := visit{server: server}
	var unhurt []string
	for line := range strings.Lines(strings.TrimSpace(ills)) {
		call, codes, _ := strings.Cut(strings.TrimSpace(line), " ")
		for code := range strings.FieldsSeq(codes) {
			if round++; s.rounds > 0 && round > s.rounds {
				return r, nil
			}
			if call == "mkdirat" || round%8 == 0 { // somebody's first mail
				if err := open(1, round); err != nil {
					return r, err
				}
			}
			rule := fmt.Sprintf("%s:error=%s:when=%d+%d", call, code, 1+random.IntN(3), 1+random.IntN(6))
			n, err := s.round(ctx, server, all, round, rule, random)
			if err != nil {
				return r, fmt.Errorf("inject: %s: %w", rule, err)
			}
			if r.Count += n; n == 0 {
				unhurt = append(unhurt, call+" "+code)
			}
			if s.harm != nil {
				if err := s.harm(stand.Maildir(all[0].account)); err != nil {
					return r, err
				}
			}
			// Alternately it gets well by itself, and is started anew.
			v.call, v.round, v.anew = call, round, round%3 == 0
			if v.anew {
				if err := errors.Join(server.Kill(), server.Start()); err != nil {
					return r, err
				}
			}
			for _, b := range all {
				v.judge(ctx, b, &r)
			}
			if len(r.Findings) > 0 {
				r.Findings[0] = fmt.Sprintf("seed %d, round %d, %s: %s", seed, round, rule, r.Findings[0])
				return r, ctx.Err()
			}
		}
	}
	r.Figures = []campaign.Figure{
		{Name: "ends of a server that could not go on", Value: strconv.Itoa(v.died)},
		{Name: "errors that hit nothing", Value: strings.Join(unhurt, ", ")},
	}
	return r, nil
}

// visit looks at all maildrops when the errors of a round are over.
type visit struct {
	server *rig.Postwain
	call   string // that failed
	round  int
	anew   bool // the server was started since
	died   int  // in all rounds
}

// judge looks at a maildrop, for which the server may need a moment.
func (v *visit) judge(ctx context.Context, b *books, r *campaign.Result) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.Now().Add(15 * time.Second)
	for {
		l := &load{books: b, server: &v.server.Server, round: v.round}
		seen, err := l.look(ctx)
		switch {
		case err == nil:
			b.judge(seen, v.anew, r)
			return
		case ctx.Err() != nil || time.Now().After(limit):
			r.Find("%s has no mail when the errors are over: %v\n%s", b.account, err, v.server.Log())
			return
		case dead(v.server.PID()):
			v.revive(r)
		}
		<-tick.C
	}
}

// revive starts a server that has ended. It may end where write fails, and only
// there: Go's own scheduler wakes itself by one, and cannot do without.
func (v *visit) revive(r *campaign.Result) {
	v.died++
	if v.call != "write" {
		r.Find("the server has ended: %s", v.server.Log())
	}
	if err := errors.Join(v.server.Kill(), v.server.Start()); err != nil {
		r.Find("the server does not start again: %v", err)
	}
	v.anew = true
}

// round has clients at work for a moment while a rule of strace is in force, and
// counts the errors.
func (s sickness) round(ctx context.Context, server *rig.Postwain, all []*books, round int, rule string, random *rand.Rand) (n int64, err error) {
	dir, err := os.MkdirTemp("", "postwain-errors-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	heal, err := infect(server.PID(), rule, filepath.Join(dir, "calls"))
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
	defer cancel()
	var clients sync.WaitGroup
	for _, b := range all {
		l := &load{books: b, server: &server.Server, round: round}
		for _, work := range []func(*rand.Rand) error{
			func(r *rand.Rand) error { return l.deliver(ctx, 0, r) },
			func(r *rand.Rand) error { return l.visit(ctx, r) },
		} {
			own := rand.New(rand.NewPCG(random.Uint64(), 0))
			clients.Go(func() {
				for ctx.Err() == nil && !dead(server.PID()) {
					_ = work(own) // an error is what is wanted; it is tried again
				}
			})
		}
	}
	clients.Wait()
	if err := heal(); err != nil {
		return 0, err
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	return int64(strings.Count(string(calls), "(INJECTED)")), err
}

// infect attaches strace to a process, and gives what takes it off.
func infect(pid int, rule, out string) (heal func() error, err error) {
	call, _, _ := strings.Cut(rule, ":")
	cmd := exec.Command("strace", "-f", "-o", out, "-e", "trace="+call, "-e", "inject="+rule, "-p", strconv.Itoa(pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	words, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := bufio.NewReader(words)
	said := ""
	for !strings.Contains(said, "attached") {
		line, err := r.ReadString('\n')
		if said += line; err != nil {
			return nil, errors.Join(fmt.Errorf("inject: strace: %s", said), cmd.Wait())
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, r) // the rest tells of threads
	}()
	return func() error {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		<-ended
		_ = cmd.Wait() // it ends by our signal
		return nil
	}, nil
}

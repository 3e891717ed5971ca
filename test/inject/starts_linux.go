package inject

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postwain/postwain/test/campaign"
	"github.com/postwain/postwain/test/rig"
)

// beginnings are the calls that a server makes when it starts and when it turns
// its journals over: how many of them there are about, and the errors that each
// may give. Not getdents64, by which libcap lists the threads in /proc when the
// server confines itself, and without which it does not come to an end; and not
// EINTR, after which each is tried again, for ever if need be.
const beginnings = `
ftruncate 1 EIO ENOSPC
renameat 1 EIO ENOSPC EDQUOT
renameat2 3 EIO ENOSPC EDQUOT
pwrite64 12 EIO ENOSPC EDQUOT
mkdirat 2 EIO ENOSPC EDQUOT
fsync 6 EIO ENOSPC
fdatasync 4 EIO ENOSPC
flock 3 EIO
openat 40 EIO EMFILE ENFILE EACCES
unlinkat 2 EIO EACCES
read 20 EIO
pread64 6 EIO
fstat 10 EIO ENOMEM
`

// beginning kills a server at work and has it start while calls fail: from the
// n-th on, or the n-th alone. It may refuse to, if it says why. What clients
// were promised before and meanwhile must be true at the next start.
type beginning struct {
	rounds int                        // zero: one for each error
	harm   func(maildir string) error // a mutant, as in trial
}

func (b beginning) once(ctx context.Context) (campaign.Result, error) { return b.run(ctx, 1) }

func (b beginning) run(ctx context.Context, seed uint64) (r campaign.Result, err error) {
	stand, err := rig.NewStand("[limits]\nstop_timeout = \"2s\"\n")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stand.Close()) }()
	random := rand.New(rand.NewPCG(seed, 0))
	hit := map[string]int64{}
	round, refused := 0, 0
	for line := range strings.Lines(strings.TrimSpace(beginnings)) {
		words := strings.Fields(line)
		about, err := strconv.Atoi(words[1])
		if err != nil {
			return r, err
		}
		for _, code := range words[2:] {
			if round++; b.rounds > 0 && round > b.rounds {
				return r, nil
			}
			rule := fmt.Sprintf("%s:error=%s:when=%d", words[0], code, 1+random.IntN(about))
			if random.IntN(2) == 0 {
				rule += "+"
			}
			books := newBooks(rig.Account(fmt.Sprintf("user%d", round)))
			o := onset{stand: stand, load: &load{books: books, server: &stand.Server.Server, round: round}, harm: b.harm}
			n, err := o.once(ctx, rule, random, &r)
			if err != nil {
				return r, fmt.Errorf("inject: %s: %w", rule, err)
			}
			if o.refused {
				refused++
			}
			hit[words[0]] += n
			if r.Count += n; len(r.Findings) > 0 {
				r.Findings[0] = fmt.Sprintf("seed %d, round %d, %s: %s", seed, round, rule, r.Findings[0])
				return r, ctx.Err()
			}
		}
	}
	for line := range strings.Lines(strings.TrimSpace(beginnings)) {
		call, _, _ := strings.Cut(line, " ")
		r.Figures = append(r.Figures, campaign.Figure{Name: "errors of " + call, Value: strconv.FormatInt(hit[call], 10)})
	}
	r.Figures = append(r.Figures, campaign.Figure{Name: "starts refused, of " + strconv.Itoa(round), Value: strconv.Itoa(refused)})
	return r, nil
}

// onset is one start under errors.
type onset struct {
	stand   *rig.Stand
	load    *load
	harm    func(maildir string) error
	refused bool
}

func (o *onset) once(ctx context.Context, rule string, random *rand.Rand, r *campaign.Result) (n int64, err error) {
	server, books := o.stand.Server, o.load.books
	call, _, _ := strings.Cut(rule, ":")
	if err := o.stand.AddAccounts(books.account); err != nil {
		return 0, err
	}
	o.work(ctx, random, 150*time.Millisecond)
	if err := o.end(call); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "postwain-starts-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := rig.Own(dir); err != nil {
		return 0, err
	}
	calls := filepath.Join(dir, "calls")
	err = server.StartUnder("strace", "-D", "-f", "-o", calls, "-e", "trace="+call, "-e", "inject="+rule)
	if o.refused = err != nil; o.refused {
		if !explained(err) {
			r.Find("the server does not start and does not say why: %v", err)
		}
	} else {
		o.work(ctx, random, 200*time.Millisecond)
		if err := server.Kill(); err != nil {
			return 0, err
		}
	}
	text, err := os.ReadFile(calls)
	if err != nil {
		return 0, err
	}
	if o.harm != nil {
		if err := o.harm(o.stand.Maildir(books.account)); err != nil {
			return 0, err
		}
	}
	if err := server.Start(); err != nil {
		r.Find("the server does not start when the errors are over: %v", err)
		return 0, nil
	}
	seen, err := o.load.look(ctx)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		r.Find("%s has no mail when the errors are over: %v\n%s", books.account, err, server.Log())
		return 0, nil
	}
	books.judge(seen, true, r)
	return int64(strings.Count(string(text), "(INJECTED)")), nil
}

// end kills the server, or has it end and forget its journal where the call is
// one that makes a new one.
func (o *onset) end(call string) error {
	server := o.stand.Server
	if !slices.Contains([]string{"ftruncate", "renameat", "pwrite64"}, call) {
		return server.Kill()
	}
	return errors.Join(server.Stop(), os.Remove(filepath.Join(server.Data(), "commits")))
}

// explained reports whether the last line of a start that failed is a sentence
// of the program, of the loader before it, or of libcap that cannot list the
// threads in /proc.
func explained(err error) bool {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	last := lines[len(lines)-1]
	return strings.HasPrefix(last, "postwain: ") || strings.HasPrefix(last, "failed to read /proc/") ||
		strings.Contains(last, "error while loading shared libraries")
}

// work has clients deliver and remove for a while. A server that ends
// meanwhile is what is wanted.
func (o *onset) work(ctx context.Context, random *rand.Rand, d time.Duration) {
	server := o.stand.Server
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var clients sync.WaitGroup
	for _, work := range []func(*rand.Rand) error{
		func(r *rand.Rand) error { return o.load.deliver(ctx, 0, r) },
		func(r *rand.Rand) error { return o.load.visit(ctx, r) },
	} {
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		clients.Go(func() {
			for ctx.Err() == nil && !dead(server.PID()) {
				_ = work(own)
			}
		})
	}
	clients.Wait()
}

package swarm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/test/campaign"
	"github.com/postwain/postwain/test/rig"
)

// siege is what honest users have to get through.
type siege struct {
	crowd    int           // connections that are idle or slow, half of them inside TLS
	deaf     int           // clients who ask for big messages and never read
	flooders int           // who make one handshake after the other
	logins   int           // of honest users, one after the other
	within   time.Duration // what 99 of 100 of them may take; zero: any time
	weigh    bool          // what a connection of the crowd takes in memory

	pauses bool          // a mutant: the server stops in between
	pause  time.Duration // for how long; zero: 200 ms
}

// Memory of a connection before login, in octets.
const (
	mostClear  = 12 << 10
	mostSecure = 40 << 10
	mostDeaf   = 256 << 10 // logged in, with what is on its way
)

func (s siege) once(ctx context.Context) (campaign.Result, error) { return s.run(ctx, 1) }

// run has the server on one processor and all the others of the world on another.
func (s siege) run(ctx context.Context, seed uint64) (r campaign.Result, err error) {
	stand, err := rig.NewStand("[limits]\nlogin_timeout = \"10m\"\n", rig.Account("alice"))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stand.Close()) }()
	server := stand.Server
	if err := rig.MakeMaildir(stand.Maildir("alice")); err != nil {
		return r, err
	}
	if err := furnish(stand.Space, s.deaf); err != nil {
		return r, err
	}
	secure, err := stand.TLS.Client()
	if err != nil {
		return r, err
	}
	apart, err := separate(server.PID())
	if err != nil {
		return r, err
	}
	defer apart()
	return s.hold(ctx, server, secure, rand.New(rand.NewPCG(seed, 0)))
}

// hold lays the siege and sends the honest.
func (s siege) hold(ctx context.Context, server *rig.Postwain, secure *tls.Config, random *rand.Rand) (r campaign.Result, err error) {
	ctx, end := context.WithCancel(ctx)
	var busy sync.WaitGroup
	defer busy.Wait()
	defer end()
	if s.crowd > 0 {
		c, err := s.gather(ctx, server, secure, random, &r)
		if err != nil {
			return r, err
		}
		defer c.leave()
		busy.Go(func() { c.dawdle(ctx) })
	}
	before, err := server.Memory()
	if err != nil {
		return r, err
	}
	silent, err := stopEars(ctx, s.deaf, address(server.POP3))
	if err != nil {
		return r, err
	}
	defer silent.leave()
	flood := &flood{address: address(server.POP3S), config: secure}
	for range s.flooders {
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		busy.Go(func() { flood.run(ctx, own) })
	}
	if s.pauses {
		busy.Go(func() { s.interrupt(ctx, server.PID()) })
	}
	quiet, err := watch(server.Daemon)
	if err != nil {
		return r, err
	}
	took, refused := s.honest(ctx, server, secure)
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	others, err := quiet()
	if err != nil {
		return r, err
	}
	if s.deaf > 0 {
		after, err := server.Memory()
		if err != nil {
			return r, err
		}
		weigh(entrance{name: "memory of a client who never reads", most: mostDeaf}, max(0, after-before)/int64(s.deaf), &r)
	}
	r.Count = int64(s.logins)
	for _, err := range refused {
		r.Find("an honest login: %v", err)
	}
	slices.Sort(took)
	if len(took) == 0 {
		return r, nil
	}
	p99 := took[len(took)*99/100]
	switch {
	case s.within == 0 || p99 <= s.within:
	case others > mostOthers && !s.pauses:
		r.Figures = append(r.Figures, campaign.Figure{Name: "not judged, as other programs had of a processor", Value: fmt.Sprintf("%.0f %%", 100*others)})
	default:
		r.Find("one of 100 honest logins takes %v and more, which should be %v", p99, s.within)
	}
	r.Figures = append(r.Figures, campaign.Figure{Name: "login, STAT and QUIT, 99 of 100", Value: p99.Round(100 * time.Microsecond).String()},
		campaign.Figure{Name: "half of them", Value: took[len(took)/2].Round(100 * time.Microsecond).String()})
	if s.flooders > 0 {
		r.Figures = append(r.Figures, campaign.Figure{Name: "handshakes of the flood", Value: strconv.FormatInt(flood.made.Load(), 10)})
	}
	return r, nil
}

// weighed is how many of each kind a siege weighs: as many as any server holds
// at a time, or those that it makes room for would count for those that come.
const weighed = 2000

// gather brings the crowd, first some in clear and some inside TLS, which are
// weighed, and then the rest.
func (s siege) gather(ctx context.Context, server *rig.Postwain, secure *tls.Config, random *rand.Rand, r *campaign.Result) (c *crowd, err error) {
	c = &crowd{}
	defer func() {
		if err != nil {
			c.leave()
		}
	}()
	clear := entrance{"memory of a connection before login, clear", address(server.POP3), nil, mostClear}
	inside := entrance{"memory of a connection before login, TLS", address(server.POP3S), secure, mostSecure}
	n := min(s.crowd/2, weighed)
	for _, e := range []entrance{clear, inside} {
		before, err := server.Memory()
		if err != nil {
			return c, err
		}
		if err := c.come(ctx, n, e, random); err != nil {
			return c, err
		}
		after, err := server.Memory()
		if err != nil {
			return c, err
		}
		if s.weigh {
			weigh(e, (after-before)/int64(n), r)
		}
	}
	for _, e := range []entrance{clear, inside} {
		if err := c.come(ctx, s.crowd/2-n, e, random); err != nil {
			return c, err
		}
	}
	held, err := sockets(server.PID())
	r.Figures = append(r.Figures, campaign.Figure{Name: "of " + strconv.Itoa(s.crowd) + " who came the server held", Value: strconv.Itoa(held)})
	return c, err
}

func weigh(e entrance, each int64, r *campaign.Result) {
	if each > e.most {
		r.Find("%s is %d octets, which should be %d", e.name, each, e.most)
	}
	r.Figures = append(r.Figures, campaign.Figure{Name: e.name, Value: fmt.Sprintf("%.1f KiB", float64(each)/1024)})
}

// honest users sign in one after the other, in clear and inside TLS by turns.
func (s siege) honest(ctx context.Context, server *rig.Postwain, secure *tls.Config) (took []time.Duration, refused []error) {
	for i := range s.logins {
		port, security := server.POP3, pop3client.Plaintext
		if i%2 == 1 {
			port, security = server.POP3S, pop3client.TLS
		}
		began := time.Now()
		if err := visit(ctx, address(port), security, secure); err != nil {
			refused = append(refused, err)
			continue
		}
		took = append(took, time.Since(began))
	}
	return took, refused
}

func visit(ctx context.Context, address string, security pop3client.Security, secure *tls.Config) error {
	c, err := pop3client.Dial(ctx, address, security, pop3client.Options{TLS: secure, NoCapa: true})
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.SignIn(ctx, pop3client.Credentials{User: rig.Account("alice"), Password: rig.Password, Mechanism: "USER", Plaintext: true})
	if err != nil {
		return err
	}
	if _, _, err := c.Stat(ctx); err != nil {
		return err
	}
	return c.Quit(ctx)
}

// interrupt stops the server again and again.
func (s siege) interrupt(ctx context.Context, pid int) {
	pause := max(s.pause, 200*time.Millisecond)
	turn := time.NewTicker(pause)
	defer turn.Stop()
	defer syscall.Kill(pid, syscall.SIGCONT)
	for stop := true; ; stop = !stop {
		signal := syscall.SIGCONT
		if stop {
			signal = syscall.SIGSTOP
		}
		if syscall.Kill(pid, signal) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
		}
	}
}

// separate gives the server the first processor and this program the last one,
// until back is called.
func separate(server int) (back func(), err error) {
	all, err := exec.Command("nproc", "--all").Output()
	if err != nil {
		return nil, err
	}
	var n int
	if _, err := fmt.Sscan(string(all), &n); err != nil || n < 2 {
		return func() {}, err
	}
	pin := func(pid int, processors string) error {
		out, err := exec.Command("taskset", "--all-tasks", "--cpu-list", "--pid", processors, strconv.Itoa(pid)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("taskset: %w: %s", err, out)
		}
		return nil
	}
	if err := errors.Join(pin(server, "0"), pin(os.Getpid(), strconv.Itoa(n-1))); err != nil {
		return nil, err
	}
	return func() { _ = pin(os.Getpid(), "0-"+strconv.Itoa(n-1)) }, nil
}

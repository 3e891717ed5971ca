// Package daemon is the running server: it makes stores, accounts, listeners
// and servers of a configuration, exchanges them when the configuration
// changes, and ends them in order. It is the only package that knows them all.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/postwain/postwain/internal/acme"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/listen"
	"github.com/postwain/postwain/internal/obs"
	"github.com/postwain/postwain/internal/sandbox"
	"github.com/postwain/postwain/internal/store"
	"github.com/postwain/postwain/pop3server"
)

// Options say what to run.
type Options struct {
	// Config is the configuration file. Empty: everything lies in Data, which
	// is made if it is not there.
	Config string
	// Data is where the server keeps its state; with no Config also the mail,
	// the accounts and the certificate. Empty: see config.Config.StateDir.
	Data string
	// Stdout takes what a user at a terminal wants to know, Stderr the log.
	Stdout, Stderr io.Writer
	// Terminal says that Stdout is one: what is written there is not kept.
	Terminal bool
	Getenv   func(string) string
	// Signals gives SIGHUP (read the configuration again), SIGTERM and
	// SIGINT (stop; the second one at once).
	Signals <-chan os.Signal
	// Confine takes from the process what it does not need, for good, and says
	// what holds: sandbox.Confine. Nil: nothing is taken.
	Confine func(sandbox.Paths) (sandbox.Report, error)
}

// Daemon is a running server.
type Daemon struct {
	options Options
	load    func() (*config.Config, error) // the configuration as it is now
	config  *config.Config
	log     *obs.Log
	notify  notifier

	store        store.Store
	accounts     *accounts
	tickets      *tickets             // nil: no Kerberos
	certificates *listen.Certificates // nil: no TLS
	clients      *listen.Clients      // nil: none is asked for a certificate
	acme         *acme.Manager        // nil: certificates are files
	limiter      *listen.Limiter      // of POP3 connections
	room         *room                // for open maildrops
	sessions     *pop3server.Sessions
	refusals     *refusals
	doors        []*door
	closed       []*door // whose listeners are gone, and maybe not their sessions

	serving sync.WaitGroup
	failed  chan error // of a listener that ended by itself
}

// Run serves until a signal ends it. It returns nil after a SIGTERM or SIGINT
// that let every command come to its end or to the end of its time; before it
// serves, the error tells everything that stands in the way. A fault of the
// configuration is config.Problems.
func Run(ctx context.Context, o Options) error {
	private()
	limitMemory(o.Getenv)
	if o.Config == "" {
		return runZero(ctx, o)
	}
	d := &Daemon{options: o, load: func() (*config.Config, error) { return loadFile(o) }}
	return d.run(ctx, func() error { return nil })
}

// loadFile reads the configuration file and fills in what it leaves to the
// machine.
func loadFile(o Options) (*config.Config, error) {
	c, err := config.Load(o.Config)
	if err != nil {
		return nil, err
	}
	if o.Data != "" {
		c.StateDir = o.Data
	}
	if c.StateDir == "" {
		if c.StateDir, err = defaultData(o.Getenv); err != nil {
			return nil, err
		}
	}
	if c.Hostname == "" {
		if c.Hostname, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("the machine has no name; write hostname in %s: %w", o.Config, err)
		}
	}
	return c, nil
}

// run starts the server, calls greet, and serves.
func (d *Daemon) run(ctx context.Context, greet func() error) error {
	c, err := d.load()
	if err != nil {
		return err
	}
	d.config = c
	d.log = obs.NewLog(obs.NewLogger(d.options.Stderr, c.Log.Format == config.JSON))
	d.refusals = &refusals{log: d.log}
	if d.notify, err = newNotifier(d.options.Getenv); err != nil {
		return err
	}
	defer d.notify.close()
	if err := d.start(ctx); err != nil {
		return err
	}
	if err := greet(); err != nil {
		return errors.Join(err, d.stop(true))
	}
	d.confine()
	d.log.Info("ready", "version", Version(), "listeners", d.addresses())
	d.notify.ready("serving " + d.addresses())
	return d.loop(ctx)
}

// loop waits for what ends or changes the server.
func (d *Daemon) loop(ctx context.Context) error {
	beat, end := d.notify.heartbeat()
	defer end()
	memory, pause := newThrift(), time.NewTicker(quietCheck)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
			memory.check()
		case <-beat:
			d.notify.tell("WATCHDOG=1")
		case s := <-d.options.Signals:
			if s != syscall.SIGHUP {
				d.log.Info("stopping", "signal", s.String())
				return d.stop(false)
			}
			d.notify.reloading()
			if err := d.reload(ctx); err != nil {
				d.logEach("not reloaded; the old configuration stays", err)
			} else {
				d.log.Info("reloaded", "listeners", d.addresses())
			}
			d.notify.ready("serving " + d.addresses())
		case err := <-d.failed:
			return errors.Join(err, d.stop(false))
		case <-ctx.Done():
			return d.stop(false)
		}
	}
}

// logEach logs every line of an error that joins many.
func (d *Daemon) logEach(what string, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		d.log.Error(what, "error", line)
	}
}

// stop ends the servers, in the time that the configuration gives, and then
// the store. A further signal, or now, ends it at once.
func (d *Daemon) stop(now bool) error {
	d.notify.stopping()
	ctx, cancel := context.WithTimeout(context.Background(), d.config.Limits.StopTimeout)
	defer cancel()
	forced := make(chan bool, 1)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		for {
			select {
			case s := <-d.options.Signals:
				if s == syscall.SIGHUP {
					continue
				}
				forced <- true
				cancel()
			case <-ctx.Done():
			}
			return
		}
	}()
	if now {
		cancel()
	}
	var ending sync.WaitGroup
	for _, door := range append(d.closed, d.doors...) {
		ending.Go(func() { door.shutdown(ctx) })
	}
	ending.Wait()
	cancel()
	<-watching
	d.serving.Wait()
	err := errors.Join(d.closeTLS(), d.accounts.close(), d.store.Close())
	if err == nil && len(forced) > 0 {
		err = errForced
	}
	if err == nil {
		d.log.Info("stopped")
	}
	return err
}

// addresses names the listeners.
func (d *Daemon) addresses() string {
	all := make([]string, len(d.doors))
	for i, door := range d.doors {
		all[i] = door.String()
	}
	return strings.Join(all, ", ")
}

// Version is the version of the program, as the build knows it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

// errForced is how Run ends when it did not wait for the commands in hand.
var errForced = errors.New("stopped at once by a second signal")

// shutdownGrace is what a server gets to close connections that did not end in
// time.
const shutdownGrace = 5 * time.Second

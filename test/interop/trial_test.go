//go:build interop

package interop

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/postwain/postwain/test/rig"
)

const (
	// patience bounds every run of a fetcher. All give up a silent server in a
	// quarter of it.
	patience = 20 * time.Second
	// tryAgain is how long to wait before what has failed is tried again.
	tryAgain = 61 * time.Second
	// strikesPerTrial is how often a fetcher is struck before it is left to
	// finish: some begin from the start each time and would never get there.
	strikesPerTrial = 5
	// smallDisk is the size in octets of a disk that is going to be full.
	smallDisk = 16 << 20
)

// arena holds what all trials share.
type arena struct {
	space   *rig.Space
	dovecot *rig.Server
	rand    *rand.Rand
	trials  int
}

func sourceAccount(i int) string { return rig.Account(fmt.Sprintf("source%d", i)) }
func targetAccount(i int) string { return rig.Account(fmt.Sprintf("target%d", i)) }

// trial is a mailbox with letters that a fetcher has to bring home.
type trial struct {
	arena   *arena
	fetcher rig.Fetcher
	haul    rig.Haul
	letters []stored
	source  string // Maildir that the server serves
	link    *rig.Link
	disk    *rig.Disk // of state and destination; nil: the space's
	whole   pace
	hung    int    // runs that came to no end
	log     string // what the fetcher has said in all its runs
}

// pace is what a whole run takes that nobody disturbs.
type pace struct {
	took   time.Duration
	passed [2]int64 // octets over the link, by direction
}

// trial prepares a mailbox. With small, state and destination lie on a small
// disk of their own.
func (a *arena) trial(f rig.Fetcher, letters []stored, keep, small bool) (_ *trial, err error) {
	source, target := sourceAccount(a.trials), targetAccount(a.trials)
	a.trials++
	tr := &trial{arena: a, fetcher: f, letters: letters, source: a.space.Maildir(source)}
	defer func() {
		if err != nil {
			err = errors.Join(err, tr.close())
		}
	}()
	if err := writeMaildir(tr.source, letters); err != nil {
		return nil, err
	}
	tr.haul = rig.Haul{
		Account: source, Keep: keep, LMTP: a.dovecot.LMTP, IMAP: a.dovecot.IMAP, Recipient: target,
		State: filepath.Join(a.space.Dir, "state-"+target), Maildir: a.space.Maildir(target),
	}
	if small {
		if tr.disk, err = rig.NewDisk(smallDisk); err != nil {
			return nil, err
		}
		home := filepath.Join(tr.disk.Mount, "Maildir")
		if err := rig.MakeMaildir(home); err != nil {
			return nil, err
		}
		if err := os.Symlink(home, tr.haul.Maildir); err != nil {
			return nil, err
		}
		tr.haul.State = filepath.Join(tr.disk.Mount, "state")
		if !f.Hands {
			tr.haul.Maildir = home
		}
	}
	if err := os.Mkdir(tr.haul.State, 0o700); err != nil {
		return nil, err
	}
	if err := rig.MakeMaildir(tr.haul.Maildir); err != nil {
		return nil, err
	}
	if tr.link, err = rig.NewLink("127.0.0.1", a.dovecot.POP3, 0); err != nil {
		return nil, err
	}
	tr.haul.Port = tr.link.Port
	return tr, nil
}

func (tr *trial) close() error {
	var errs []error
	if tr.link != nil {
		errs = append(errs, tr.link.Close())
	}
	if tr.disk != nil {
		errs = append(errs, tr.disk.Close())
	}
	for _, dir := range []string{tr.source, tr.haul.State, tr.arena.space.Maildir(tr.haul.Recipient)} {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

// ending is how a run of a fetcher has ended.
type ending struct {
	code   int // -1: by a signal
	output string
}

// during runs the fetcher and calls strike after a time, unless it has ended
// by then. With a nil strike it is left alone. A fetcher that comes to no end
// is killed.
func (tr *trial) during(after time.Duration, strike func(*os.Process) error) (e ending, struck bool, err error) {
	cmd, err := tr.fetcher.Command(tr.haul)
	if err != nil {
		return e, false, err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Second // for what it has started and left behind
	if err := cmd.Start(); err != nil {
		return e, false, err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() // the exit code is asked for below
		close(ended)
	}()
	alarm, limit := time.NewTimer(after), time.NewTimer(patience)
	defer alarm.Stop()
	defer limit.Stop()
	if strike != nil {
		select {
		case <-ended:
		case <-alarm.C:
			struck, err = true, strike(cmd.Process)
		}
	}
	select {
	case <-ended:
	case <-limit.C:
		tr.hung++
		err = errors.Join(err, cmd.Process.Kill())
		<-ended
	}
	e = ending{cmd.ProcessState.ExitCode(), out.String()}
	tr.log += fmt.Sprintf("exit code %d\n%s", e.code, e.output)
	return e, struck, err
}

// alone runs the fetcher and leaves it alone.
func (tr *trial) alone() (ending, error) {
	e, _, err := tr.during(0, nil)
	return e, err
}

// moment is a time that lies anywhere within a whole run.
func (tr *trial) moment() time.Duration {
	return time.Duration(tr.arena.rand.Int64N(int64(tr.whole.took)))
}

// measure runs the fetcher on a mailbox of its own to see what a whole run is. It
// tries again what fails: getmail6 now and then misses the end of the process
// that delivers, and gives up.
func (a *arena) measure(c contestant, letters []stored, keep bool) (w pace, err error) {
	for range 3 {
		if w, err = a.measureOnce(c.Fetcher, letters, keep); err == nil || c.ours {
			break
		}
	}
	return w, err
}

func (a *arena) measureOnce(f rig.Fetcher, letters []stored, keep bool) (w pace, err error) {
	tr, err := a.trial(f, letters, keep, false)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, tr.close()) }()
	begin := time.Now()
	e, err := tr.alone()
	w.took = time.Since(begin)
	if err == nil && !f.Done(e.code) {
		err = fmt.Errorf("%s fails although nobody disturbs it: exit code %d\n%s", f.Name, e.code, e.output)
	}
	w.passed = [2]int64{tr.link.Passed(rig.Up), tr.link.Passed(rig.Down)}
	return w, err
}

// finish runs the fetcher until it says that nothing is left, and then once
// more.
func (tr *trial) finish() error {
	const most = 5
	var e ending
	for n := 0; n < most; n++ {
		var err error
		if e, err = tr.alone(); err != nil {
			return err
		}
		if tr.fetcher.Done(e.code) {
			_, err = tr.alone()
			return err
		}
		if e.code == tr.fetcher.Later && e.code != 0 {
			<-time.After(tryAgain)
		}
	}
	return fmt.Errorf("%s does not get done in %d runs: exit code %d\n%s", tr.fetcher.Name, most, e.code, e.output)
}

// count says what has become of the letters.
func (tr *trial) count() (t tally, err error) {
	came, err := tr.came()
	if err != nil {
		return t, err
	}
	left, err := readMaildir(tr.source)
	if err != nil {
		return t, err
	}
	if tr.haul.Keep && len(left) != len(tr.letters) {
		err = fmt.Errorf("%s was to keep %d letters on the server and left %d", tr.fetcher.Name, len(tr.letters), len(left))
	}
	t = count(tr.letters, came, left, tr.haul.Keep)
	t.hung = tr.hung
	return t, err
}

// came gives what has come to the destination.
func (tr *trial) came() ([]stored, error) {
	if tr.fetcher.Mbox {
		return readMbox(filepath.Join(tr.haul.Maildir, "mbox"))
	}
	return readMaildir(tr.haul.Maildir)
}

// readMbox reads the messages of an mbox, each between a line that begins with
// "From " and an empty one.
func readMbox(path string) ([]stored, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []stored
	data = bytes.TrimSuffix(data, []byte("\n")) // the empty line behind the last
	for m := range bytes.SplitSeq(append([]byte("\n"), data...), []byte("\nFrom ")) {
		if len(all) == 0 && len(m) == 0 {
			continue // in front of the first
		}
		_, m, _ = bytes.Cut(m, []byte("\n"))
		all = append(all, stored{fmt.Sprint(len(all)), m})
	}
	return all, nil
}

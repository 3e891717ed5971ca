package maildir

import (
	"log/slog"
	"testing"
	"testing/synctest"
)

// recorder is a remover that tells of each settlement.
type recorder struct{ settled chan string }

func (r recorder) remove(*removal) []mark { return nil }

func (r recorder) settle(path string) error {
	r.settled <- path
	return nil
}

// A Maildir is settled when all its removals are over, not when the first is:
// a sync of its directories says nothing of what is removed after it, and what
// is retired is overwritten.
func TestRetireWaitsForEveryRemoval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		work := recorder{make(chan string, 10)}
		dir := emptyDisk(t)().Root()
		j, err := openJournal(t.Context(), dir, defaultHalf, work, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		r := removal{path: "example.org/alice", marks: []mark{{"message", 1}}}
		first, err := j.commit(r)
		if err != nil {
			t.Fatal(err)
		}
		second, err := j.commit(r)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // for the writer to end: halves are its own
		j.over(first, nil)
		retired := make(chan bool)
		go func() {
			j.retire(&j.halves[j.active])
			close(retired)
		}()
		synctest.Wait()
		if len(work.settled) != 0 {
			t.Error("the Maildir is settled while a removal from it is under way")
		}
		j.over(second, nil)
		<-retired
		if len(work.settled) == 0 {
			t.Error("the Maildir is not settled")
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	})
}

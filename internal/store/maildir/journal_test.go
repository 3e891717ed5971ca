package maildir

import (
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
)

// recorder is a remover that tells what it was asked for.
type recorder struct {
	asked    []string
	settling func() // called in each settlement; may be nil
}

func (r *recorder) remove(*removal) ([]mark, error) {
	r.asked = append(r.asked, "remove")
	return nil, nil
}

func (r *recorder) settle(string) error {
	r.asked = append(r.asked, "settle")
	if r.settling != nil {
		r.settling()
	}
	return nil
}

// recorded opens a journal whose remover is a recorder.
func recorded(t *testing.T) (*journal, *recorder) {
	work := new(recorder)
	j, err := openJournal(t.Context(), emptyDisk(t)().Root(), defaultHalf, work, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return j, work
}

// commits commits a removal from a Maildir and waits until the writer has
// ended, so that the halves are the test's.
func commits(t *testing.T, j *journal) *intent {
	in, err := j.commit(removal{path: "example.org/alice", marks: []mark{{"message", 1}}})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return in
}

// A Maildir is settled when all its removals are over, not when the first is:
// a sync of its directories says nothing of what is removed after it, and what
// is retired is overwritten.
func TestRetireWaitsForEveryRemoval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, work := recorded(t)
		first, second := commits(t, j), commits(t, j)
		j.over(first, nil)
		retired := make(chan bool)
		go func() {
			j.retire(&j.halves[j.active])
			close(retired)
		}()
		synctest.Wait()
		if len(work.asked) != 0 {
			t.Error("the Maildir is settled while a removal from it is under way")
		}
		j.over(second, nil)
		<-retired
		if !slices.Equal(work.asked, []string{"settle"}) {
			t.Errorf("the Maildir was treated like this: %v", work.asked)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A removal that could not be made at first, and is made while its Maildir is
// being settled, needs another settlement before it is retired.
func TestRetireSettlesWhatWasLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, work := recorded(t)
		in := commits(t, j)
		j.over(in, in.marks)
		work.settling = func() { j.retry(in.path) }
		j.retire(&j.halves[j.active])
		j.retry(in.path)
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		if n := len(work.asked); n == 0 || work.asked[n-1] != "settle" {
			t.Errorf("the Maildir was treated like this: %v", work.asked)
		}
	})
}

package fetch

import (
	"context"
	"errors"
	"testing"

	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/internal/fsx/faultfs"
)

func texts(n int) (list []string) {
	for i := range n {
		list = append(list, text(i))
	}
	return list
}

// once makes a round.
func once(dir fsx.Dir, a Account) Report {
	return New(Options{State: dir}).Once(context.Background(), []Account{a})[0]
}

func TestFetchesAndDeletes(t *testing.T) {
	t.Parallel()
	for _, to := range []*destination{exactly(), blindly()} {
		f, m := faultfs.New(), newModel(20)
		r := once(f.Root(), m.account(to, Policy{}))
		if r.Err != nil || r.Fetched != 20 || r.Deleted != 20 || r.Left != 0 || r.Failed != 0 {
			t.Fatalf("%+v", r)
		}
		if err := to.check(texts(20), 0); err != nil {
			t.Error(err)
		}
		if m.left() != 0 {
			t.Errorf("%d are left", m.left())
		}
		if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || r.Fetched != 0 {
			t.Errorf("and then %+v", r)
		}
	}
}

func TestKeeps(t *testing.T) {
	t.Parallel()
	f, m, to := faultfs.New(), newModel(20), exactly()
	for range 3 {
		if r := once(f.Root(), m.account(to, Policy{Keep: true})); r.Err != nil || r.Left != 20 || r.Deleted != 0 {
			t.Fatalf("%+v", r)
		}
	}
	if err := to.check(texts(20), 0); err != nil || to.puts != 20 {
		t.Error(err, to.puts)
	}
	// The operator changes his mind: nothing is fetched again.
	if r := once(f.Root(), m.account(to, Policy{})); r.Err != nil || r.Fetched != 0 || r.Deleted != 20 || m.left() != 0 {
		t.Errorf("%+v", r)
	}
}

func crashed(err error) bool { return errors.Is(err, faultfs.ErrCrashed) }

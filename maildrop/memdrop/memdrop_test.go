package memdrop_test

import (
	"testing"

	"github.com/postwain/postwain/maildrop/maildroptest"
	"github.com/postwain/postwain/maildrop/memdrop"
)

func TestExclusive(t *testing.T) {
	t.Parallel()
	maildroptest.Test(t, func(testing.TB) maildroptest.Mail {
		s := memdrop.New()
		return maildroptest.Mail{Store: s, Deliverer: s}
	})
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	maildroptest.Test(t, func(testing.TB) maildroptest.Mail {
		s := &memdrop.Store{Snapshot: true}
		return maildroptest.Mail{Store: s, Deliverer: s, Snapshot: true}
	})
}

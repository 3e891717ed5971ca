// Package maildroptest judges implementations of package maildrop.
//
// [Test] is the suite that every Store, Box and Deliverer must pass; the tests
// of a store need little more than
//
//	func TestStore(t *testing.T) {
//		maildroptest.Test(t, func(t testing.TB) maildroptest.Mail {
//			s := mystore.Open(t.TempDir())
//			return maildroptest.Mail{Store: s, Deliverer: s}
//		})
//	}
//
// [Ledger] judges what a store on a disk that crashes may not do.
package maildroptest

import (
	"testing"

	"github.com/postwain/postwain/maildrop"
)

// Mail is what Test judges: a way in and a way out of the same maildrops, all
// of them empty at first.
type Mail struct {
	Store     maildrop.Store
	Deliverer maildrop.Deliverer

	// Snapshot says that many sessions may open a maildrop at once. Otherwise
	// the second must get ErrInUse.
	Snapshot bool
	// NoTimes says that the store cannot tell when mail arrived.
	NoTimes bool
	// Reopen gives the same maildrops as after a restart of the program. No
	// Box is open when it is called, and Store and Deliverer are not used any
	// more. Nil: they are their own successors.
	Reopen func(t testing.TB) (maildrop.Store, maildrop.Deliverer)
	// Remove removes the message m of account as another program would,
	// while a Box may be open. Nil: no other program can.
	Remove func(t testing.TB, account string, m maildrop.Message)
}

// Test runs the suite, in parallel subtests. It calls open once for each, with
// the subtest; accounts are called alice@example.org and bob@example.org.
func Test(t *testing.T, open func(t testing.TB) Mail) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.judge(&run{TB: t, Mail: open(t)})
		})
	}
}

// check is one law of package maildrop.
type check struct {
	name  string
	judge func(*run)
}

// checks are all of them; the names of the subtests.
var checks = []check{
	{"octets", checkOctets},
	{"small", checkSmall},
	{"big", checkBig},
	{"partial", checkPartial},
	{"readers", checkReaders},
	{"range", checkRange},

	{"order", checkOrder},
	{"uids", checkUIDs},
	{"reuse", checkReuse},
	{"frozen", checkFrozen},
	{"lock", checkLock},
	{"accounts", checkAccounts},

	{"commit", checkCommit},
	{"gone", checkGone},
	{"overlap", checkOverlap},
	{"close", checkClose},

	{"delivery-error", checkDeliveryError},
	{"delivery-reader", checkDeliveryReader},
	{"key", checkKey},
	{"key-after-error", checkKeyAfterError},
	{"import", checkImport},
	{"import-bad", checkImportBad},
	{"arrival", checkArrival},
	{"cancel", checkCancel},

	{"parallel-delivery", checkParallelDelivery},
	{"parallel-open", checkParallelOpen},
	{"parallel-sessions", checkParallelSessions},
}

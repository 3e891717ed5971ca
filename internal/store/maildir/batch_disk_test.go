package maildir

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
)

// syncs counts those of files and of the disk.
func syncs(f *faultfs.FS) (files, disks int) {
	for _, op := range f.Ops() {
		switch op.Kind {
		case faultfs.Sync:
			files++
		case faultfs.SyncDisk:
			disks++
		}
	}
	return files, disks
}

// deliverAndSync delivers some messages of about so many octets, and syncs.
func deliverAndSync(t *testing.T, b *Batch, messages, size int) {
	t.Helper()
	text := strings.Repeat("x", size) + "\n"
	for range messages {
		if err := b.Deliver(t.Context(), "", maildrop.Incoming{}, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
}

// Many messages share a sync of the disk. Few do not, nor large ones.
func TestBatchShares(t *testing.T) {
	t.Parallel()
	f := inboxDisk(t)()
	b := disk{f.Root()}.mustInbox(t).Batch()
	for _, step := range []struct{ messages, size, files, disks int }{
		{manyShare - 1, 10, manyShare - 1, 0},
		{manyShare, 10, manyShare, 1}, // to see whether it can be done
		{manyShare, 10, 0, 1},
		{manyShare, maxShared, manyShare, 0},
		{1, 10, 0, 1},
		{1, 10, 1, 0},
		{manyShare, 10, manyShare, 0},
	} {
		files, disks := syncs(f)
		deliverAndSync(t, b, step.messages, step.size)
		if a, b := syncs(f); a-files != step.files || b-disks != step.disks {
			t.Errorf("%+v: syncs of %d files, and %d times the disk", step, a-files, b-disks)
		}
	}
}

// A disk that cannot be synced as a whole is not.
func TestBatchWithoutSyncDisk(t *testing.T) {
	t.Parallel()
	f := inboxDisk(t)()
	f.FailWhen(func(op faultfs.Op) error {
		if op.Kind == faultfs.SyncDisk {
			return errors.ErrUnsupported
		}
		return nil
	})
	b := disk{f.Root()}.mustInbox(t).Batch()
	b.many = 1
	for range 3 {
		deliverAndSync(t, b, 1, 10)
	}
	if files, disks := syncs(f); files != 3 || disks != 1 {
		t.Errorf("syncs of %d files, and %d times the disk", files, disks)
	}
}

// A disk that has much else to write is left alone for a while.
func TestBatchBusyDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := inboxDisk(t)()
		f.Before(func(op faultfs.Op) {
			if op.Kind == faultfs.SyncDisk {
				<-time.After(2 * diskPatience)
			}
		})
		b := disk{f.Root()}.mustInbox(t).Batch()
		b.many = 1
		for i, want := range []string{"1 1", "2 1", "3 1"} {
			deliverAndSync(t, b, 1, 10)
			if got := fmt.Sprint(syncs(f)); got != want {
				t.Errorf("message %d: syncs of files and the disk: %s, want %s", i, got, want)
			}
		}
		<-time.After(diskRest + time.Second)
		for i, want := range []string{"4 1", "4 2", "5 2"} {
			deliverAndSync(t, b, 1, 10)
			if got := fmt.Sprint(syncs(f)); got != want {
				t.Errorf("later message %d: syncs of files and the disk: %s, want %s", i, got, want)
			}
		}
	})
}

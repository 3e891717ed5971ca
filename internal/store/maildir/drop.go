package maildir

import (
	"container/list"
	"strings"
	"sync"

	"github.com/postwain/postwain/internal/fsx"
)

// maxIdle is the memory, roughly, that maildrops may take which nobody uses.
const maxIdle = 64 << 20

// drop is what the store remembers of one Maildir while the process lives.
// All of it can be read again from the disk.
type drop struct {
	key  string   // the path below the root
	path []string // its elements

	// Guarded by drops.mu.
	refs int
	idle *list.Element // nil while it is in use
	cost int           // as counted into drops.cost
	held bool          // by an exclusive session

	mu    sync.Mutex // held while the Maildir is being listed
	list  *listing   // the newest; nil: not known
	uids  *uidTable  // the uids file as it was read last; nil: there was none
	noted bool       // the state directory knows of the uids file
	doubt bool       // not all of the uids file may be on the disk
	disk  indexState // what is in the index file

	sweep sweep // of tmp
	inbox inbox // for deliveries
}

// inbox is what deliveries to one Maildir share.
type inbox struct {
	mu    sync.Mutex
	inode uint64     // of the directory new that the rest is about, known to be durable
	group *fsx.Group // shares its syncs
	// keys has the messages with keys: nil, or open while one is delivered.
	// The map is nil until they are looked for.
	keys map[string]chan struct{}
}

// forget says that the directory new with that inode is there no more: another
// may get its number.
func (b *inbox) forget(inode uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inode == inode {
		b.inode = 0
	}
}

// drops holds all that are in use, and of the others as many as fit.
type drops struct {
	mu   sync.Mutex
	all  map[string]*drop
	lru  list.List // of idle drops, the oldest in front
	cost int
}

func (c *drops) init() { c.all = make(map[string]*drop) }

// use gives the drop of a Maildir, which the caller releases.
func (c *drops) use(path []string) *drop {
	key := strings.Join(path, "/")
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.all[key]
	if d == nil {
		d = &drop{key: key, path: path}
		c.all[key] = d
	}
	if d.idle != nil {
		c.lru.Remove(d.idle)
		d.idle = nil
		c.cost -= d.cost
	}
	d.refs++
	return d
}

func (c *drops) release(d *drop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.refs--; d.refs > 0 {
		return
	}
	// Nobody else has it, so nobody holds its locks.
	d.cost = d.weight()
	d.idle = c.lru.PushBack(d)
	c.cost += d.cost
	for c.cost > maxIdle {
		old := c.lru.Remove(c.lru.Front()).(*drop)
		c.cost -= old.cost
		delete(c.all, old.key)
	}
}

func (d *drop) weight() int {
	n := 512 + 2*len(d.key)
	if d.list != nil {
		n += d.list.cost
	}
	if d.uids != nil {
		n += 256 + 200*len(d.uids.recs)
	}
	return n + 64*len(d.inbox.keys)
}

// hold makes the caller the only session of this process on d. It reports
// whether it is.
func (c *drops) hold(d *drop) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.held {
		return false
	}
	d.held = true
	return true
}

func (c *drops) unhold(d *drop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.held = false
}

package passwdfile

import (
	"cmp"
	"hash/maphash"
	"math/bits"
	"slices"
	"sort"
)

// decoys are passwords to verify for names that do not exist. A file that has
// seen several programs has hashes of several costs, so one cost for all such
// names would tell them from those who have another. Each name has its decoy
// instead, always the same one, and the costs are as frequent as among users.
type decoys struct {
	seed  maphash.Seed
	kinds []decoy // in the order of their costs, so that an edit moves few names
}

type decoy struct {
	secret secret
	below  uint64 // users of this cost and of those before
}

// newDecoys makes decoys of an example of each cost and the number of its users.
// Without any there are no decoys.
func newDecoys(seed maphash.Seed, examples map[cost]secret, users map[cost]int) decoys {
	d := decoys{seed: seed}
	order := make([]cost, 0, len(examples))
	for c := range examples {
		order = append(order, c)
	}
	slices.SortFunc(order, func(a, b cost) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), a.n-b.n, a.m-b.m, a.p-b.p)
	})
	var below uint64
	for _, c := range order {
		below += uint64(users[c])
		d.kinds = append(d.kinds, decoy{examples[c], below})
	}
	return d
}

// of is the decoy of a name.
func (d *decoys) of(name string) secret {
	at, _ := bits.Mul64(maphash.String(d.seed, name), d.kinds[len(d.kinds)-1].below)
	return d.kinds[sort.Search(len(d.kinds), func(i int) bool { return at < d.kinds[i].below })].secret
}

package faultfs

import (
	"cmp"
	"hash/fnv"
	"iter"
	"slices"
)

// Names reads one name at an operation, in the order of a hash of the names, as
// ext4 does. So a name changed meanwhile may be missed, or given twice.
func (d *dir) Names() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var at place
		for {
			var name string
			err := d.self(ReadDir, func(injected error) error {
				if injected == nil {
					at, name = d.node.after(at)
				}
				return injected
			})
			if err != nil {
				yield("", err)
				return
			}
			if name == "" || !yield(name, nil) {
				return
			}
		}
	}
}

// place is where a name stands in the order of a directory.
type place struct {
	hash uint64
	name string
}

func placeOf(name string) place {
	h := fnv.New64a()
	h.Write([]byte(name))
	// The low bits of FNV are the better mixed ones: put them first.
	sum := h.Sum64()
	return place{sum<<32 | sum>>32, name}
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.hash, q.hash), cmp.Compare(p.name, q.name))
}

// after returns the first name behind p.
func (d *inode) after(p place) (place, string) {
	if d.order == nil {
		for name := range d.now.entries {
			d.order = append(d.order, placeOf(name))
		}
		slices.SortFunc(d.order, place.compare)
	}
	i, found := slices.BinarySearchFunc(d.order, p, place.compare)
	if found {
		i++
	}
	if i == len(d.order) {
		return p, ""
	}
	return d.order[i], d.order[i].name
}

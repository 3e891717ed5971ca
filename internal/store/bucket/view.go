package bucket

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// view is what a maildrop is at one moment, by one listing.
type view struct {
	mail    []label         // that is not removed, by arrival
	removed []label         // whose removal is committed, and whose objects are there yet
	ended   map[uint64]bool // epochs
	highest uint64          // epoch; zero: there is none
	age     time.Duration   // of its lease
	swept   []string        // keys that nobody needs any more
}

// settled is how long a request may hang on its way before it arrives. What is
// older than that is safe from all that began before it.
const settled = time.Hour

// look lists the directory, and reads the endings that remove something.
func (d *drop) look(ctx context.Context) (*view, error) {
	v := &view{ended: map[uint64]bool{}}
	gone := map[string]bool{}
	there := map[string]bool{}
	var mail []label
	var commits, past []object // endings that remove something; and of epochs, endings and leases
	for o, err := range d.store.objects.List(ctx, d.dir) {
		if err != nil {
			return nil, d.wrap(err)
		}
		key := strings.TrimPrefix(o.Key, d.dir)
		switch key[:min(2, len(key))] {
		case endings:
			n, epoch := parseEpoch(key[2:])
			if _, ok := parseULID(key[2:]); !ok && !epoch {
				break // it is not ours
			}
			if epoch {
				v.ended[n] = true
			}
			if o.Size > 0 {
				commits = append(commits, object{key, o.Size, o.Age})
			} else {
				past = append(past, object{key, 0, o.Age})
			}
		case leases:
			if n, ok := parseEpoch(key[2:]); ok {
				v.highest, v.age = n, o.Age
				past = append(past, object{key, 0, o.Age})
			}
		case messages:
			if l, ok := parseLabel(key); ok {
				mail = append(mail, l)
				there[l.id.String()] = true
			}
		}
	}
	for _, c := range commits {
		_, ids, err := d.readEnding(ctx, c.Key)
		if err != nil {
			return nil, d.wrap(err)
		}
		left := false
		for _, id := range ids {
			gone[id] = true
			left = left || there[id]
		}
		if !left {
			past = append(past, c)
		}
	}
	for _, o := range past {
		if n, ok := parseEpoch(o.Key[2:]); o.Age > settled && (!ok || n < v.highest) {
			v.swept = append(v.swept, o.Key)
		}
	}
	for _, l := range mail {
		if gone[l.id.String()] {
			v.removed = append(v.removed, l)
		} else {
			v.mail = append(v.mail, l)
		}
	}
	slices.SortFunc(v.mail, func(a, b label) int { return strings.Compare(string(a.id[:]), string(b.id[:])) })
	return v, nil
}

// writeEnding is the text of an ending: who wrote it, and what it removes. One
// that removes nothing is empty.
func writeEnding(writer string, ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return writer + "\n" + strings.Join(ids, "\n") + "\n"
}

// maxRemoved is how many messages one ending can name, and maxEnding the octets of
// it.
const (
	maxRemoved = 1_000_000
	maxEnding  = 27 * (maxRemoved + 1)
)

func (d *drop) readEnding(ctx context.Context, key string) (writer string, ids []string, err error) {
	r, err := d.store.objects.Get(ctx, d.dir+key)
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	in := bufio.NewScanner(io.LimitReader(r, maxEnding))
	for in.Scan() {
		if writer == "" {
			writer = in.Text()
			continue
		}
		if _, ok := parseULID(in.Text()); !ok {
			return "", nil, fmt.Errorf("%s: %q is no name of a message", key, in.Text())
		}
		ids = append(ids, in.Text())
	}
	return writer, ids, in.Err()
}

// tidy removes the objects of messages whose removal is committed, and what else
// is not needed any more.
func (d *drop) tidy(ctx context.Context, removed []label, swept []string) error {
	var keys []string
	for _, k := range swept {
		keys = append(keys, d.dir+k)
	}
	for _, l := range removed {
		keys = append(keys, d.dir+l.key())
	}
	if len(keys) == 0 {
		return nil
	}
	return d.wrap(d.store.objects.Delete(ctx, keys))
}

package bucket

import (
	"strings"
	"testing"
	"time"
)

// A key that is read is one that would be written, whatever else is in the bucket.
func FuzzLabel(f *testing.F) {
	id := newULID(time.UnixMilli(1_700_000_000_123))
	for _, l := range []label{newLabel(id, 0), {id, 42, 7, "uid"}, {id, 1, -1, "///"}, {id, 1, 0, strings.Repeat("~", 70)}} {
		f.Add(l.key())
	}
	f.Fuzz(func(t *testing.T, key string) {
		l, ok := parseLabel(key)
		if ok && (l.key() != key || l.size < 0 || !validUID(l.uid)) {
			t.Errorf("%q is read as %+v", key, l)
		}
	})
}

// An ending names messages, or it is an error.
func FuzzEnding(f *testing.F) {
	id := newULID(time.UnixMilli(1_700_000_000_123)).String()
	f.Add(writeEnding(id, []string{id, id}))
	f.Add("")
	f.Add("x\n" + id)
	f.Add("\n\n" + id + "\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		m := newMemory()
		m.objects["dir/d/1"] = kept{data: []byte(text)}
		d := &drop{newStore(m), owner, "dir/"}
		_, ids, err := d.readEnding(t.Context(), "d/1")
		for _, id := range ids {
			if _, ok := parseULID(id); !ok && err == nil {
				t.Errorf("%q names %q", text, id)
			}
		}
	})
}

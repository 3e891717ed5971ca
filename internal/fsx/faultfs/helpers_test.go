package faultfs_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/postwain/postwain/internal/fsx"
)

func no(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// write makes a file and leaves it unsynced.
func write(d fsx.Dir, name, data string) error {
	f, err := d.Create(name, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, data)
	return errors.Join(err, f.Close())
}

func put(t *testing.T, d fsx.Dir, name, data string) {
	t.Helper()
	no(t, write(d, name, data))
}

func read(d fsx.Dir, name string) (string, error) {
	f, err := d.Open(name)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(f)
	return string(data), errors.Join(err, f.Close())
}

func get(t *testing.T, d fsx.Dir, name string) string {
	t.Helper()
	s, err := read(d, name)
	no(t, err)
	return s
}

func all(t *testing.T, r io.Reader) string {
	t.Helper()
	data, err := io.ReadAll(r)
	no(t, err)
	return string(data)
}

func names(t *testing.T, d fsx.Dir) []string {
	t.Helper()
	var list []string
	for name, err := range d.Names() {
		no(t, err)
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}

func locked(t *testing.T, f fsx.File, want bool) {
	t.Helper()
	ok, err := f.TryLock()
	no(t, err)
	if ok != want {
		t.Errorf("TryLock gave %t", ok)
	}
}

func notRegular(t *testing.T, d fsx.Dir, name string) {
	t.Helper()
	_, err := d.Open(name)
	is(t, "Open", err, fsx.ErrNotRegular)
	_, err = d.OpenAppend(name, 0o600)
	is(t, "OpenAppend", err, fsx.ErrNotRegular)
	_, err = d.OpenUpdate(name, 0o600)
	is(t, "OpenUpdate", err, fsx.ErrNotRegular)
}

// changed looks whether f moves the times of d. The clock of a file system may
// stand still for some milliseconds: first it must have moved, as seen by a file
// in the directory clock.
func changed(t *testing.T, d, clock fsx.Dir, want bool, what string, f func()) {
	t.Helper()
	before, err := d.Self()
	no(t, err)
	for {
		put(t, clock, "tick", "")
		now, err := clock.Stat("tick")
		no(t, err)
		no(t, clock.Remove("tick"))
		if now.Changed.After(before.Changed) {
			break
		}
	}
	f()
	after, err := d.Self()
	no(t, err)
	if after.ModTime.After(before.ModTime) != want || after.Changed.After(before.Changed) != want {
		t.Errorf("%s: mtime %v to %v, ctime %v to %v", what, before.ModTime, after.ModTime, before.Changed, after.Changed)
	}
}

// everyCall makes every call that takes a name with the name. What makes the
// name if it is missing is marked "make:", what takes it as the second name
// "to:".
func everyCall(d fsx.Dir, name string) map[string]error {
	calls := map[string]error{}
	_, calls["Dir"] = d.Dir(name)
	_, calls["Open"] = d.Open(name)
	_, calls["Stat"] = d.Stat(name)
	calls["Link"] = d.Link(name, d, "other")
	calls["Move"] = d.Move(name, d, "other")
	calls["Replace"] = d.Replace(name, "other")
	calls["Remove"] = d.Remove(name)
	calls["to:Link"] = d.Link("ok", d, name)
	calls["to:Move"] = d.Move("ok", d, name)
	calls["to:Replace"] = d.Replace("ok", name)
	calls["make:Mkdir"] = d.Mkdir(name, 0o700)
	_, calls["make:Create"] = d.Create(name, 0o600)
	_, calls["make:OpenAppend"] = d.OpenAppend(name, 0o600)
	_, calls["make:OpenUpdate"] = d.OpenUpdate(name, 0o600)
	return calls
}

// otherDir is a directory of some other file system. The name of what it embeds
// may not be that of a method.
type otherDir struct{ anyDir }

type anyDir fsx.Dir

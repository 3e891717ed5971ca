package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// decoder moves a parsed document into a Config. The TOML package's own
// decoder stops at the first value of a wrong type; this one goes on, so that
// a user sees every fault in one run.
type decoder struct {
	file     string
	lines    map[string]int // of each key, by its path
	failed   map[string]bool
	problems Problems
}

// fail notes a problem at the key of that path, as "listen.0.addr", the first
// one of each key: a value that could not be read is not missing as well.
func (d *decoder) fail(path, format string, args ...any) {
	if d.failed[path] {
		return
	}
	d.failed[path] = true
	line := d.lines[path]
	if line == 0 {
		line = d.lines[path[:max(0, strings.LastIndexByte(path, '.'))]]
	}
	d.problems = append(d.problems, Problem{d.file, line, fmt.Sprintf(format, args...)})
}

// table fills the struct that to points to.
func (d *decoder) table(path string, from map[string]any, to any) {
	v := reflect.ValueOf(to).Elem()
	fields := make(map[string]reflect.Value)
	for i := range v.NumField() {
		if key := v.Type().Field(i).Tag.Get("toml"); key != "-" {
			fields[key] = v.Field(i)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(from)) {
		at := join(path, key)
		field, known := fields[key]
		if !known {
			d.unknown(at, path, key, slices.Sorted(maps.Keys(fields)))
			continue
		}
		d.value(at, from[key], field)
	}
}

func (d *decoder) unknown(at, path, key string, names []string) {
	what, where := "key or section", ""
	if path != "" {
		what, where = "key", " in ["+section(path)+"]"
	}
	hint := ""
	if near := nearest(key, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	d.fail(at, "unknown %s %q%s%s", what, key, where, hint)
}

// value sets field.
func (d *decoder) value(at string, from any, field reflect.Value) {
	switch to := field.Addr().Interface().(type) {
	case *string:
		set(d, at, from, to, "a string: write it in quotes")
		return
	case *bool:
		set(d, at, from, to, "true or false")
		return
	case *int:
		var n int64
		if set(d, at, from, &n, "a whole number, without quotes") {
			*to = int(n)
		}
		return
	case *Size:
		if n, ok := from.(int64); ok && n >= 0 {
			*to = Size(n)
			return
		}
		d.text(at, from, to.UnmarshalText)
		return
	case *time.Duration:
		d.text(at, from, func(text []byte) (err error) {
			*to, err = ParseDuration(string(text))
			return err
		})
		return
	case encoding.TextUnmarshaler:
		d.text(at, from, to.UnmarshalText)
		return
	}
	if field.Kind() == reflect.Slice {
		d.list(at, from, field)
		return
	}
	if sub, ok := from.(map[string]any); ok {
		d.table(at, sub, field.Addr().Interface())
		return
	}
	d.fail(at, "%s must be a section: [%s]", at, at)
}

// set moves a value of the document's own types.
func set[T any](d *decoder, at string, from any, to *T, want string) bool {
	v, ok := from.(T)
	if !ok {
		d.fail(at, "%s must be %s", section(at), want)
		return false
	}
	*to = v
	return true
}

// text reads a string that has a form of its own.
func (d *decoder) text(at string, from any, read func([]byte) error) {
	var s string
	if !set(d, at, from, &s, "a string: write it in quotes, with its unit if it has one") {
		return
	}
	if err := read([]byte(s)); err != nil {
		d.fail(at, "%s = %v", section(at), err)
	}
}

// list fills a slice, of sections or of values.
func (d *decoder) list(at string, from any, field reflect.Value) {
	items, ok := from.([]any)
	if !ok {
		if elem := field.Type().Elem(); elem.Kind() == reflect.String || elem.Implements(reflect.TypeFor[fmt.Stringer]()) {
			d.fail(at, "%s must be a list: write [%q]", section(at), fmt.Sprint(from))
		} else {
			d.fail(at, "%s can be there more than once: write [[%s]]", at, at)
		}
		return
	}
	field.Set(reflect.MakeSlice(field.Type(), len(items), len(items)))
	for i, item := range items {
		path := join(at, strconv.Itoa(i))
		if _, ok := d.lines[path]; !ok {
			d.lines[path] = d.lines[at]
		}
		if unset, ok := field.Index(i).Addr().Interface().(interface{ setDefaults() }); ok {
			unset.setDefaults()
		}
		d.value(path, item, field.Index(i))
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// section gives a path as a user wrote it, without the numbers of lists.
func section(path string) string {
	out := make([]byte, 0, len(path))
	for part := range strings.SplitSeq(path, ".") {
		if _, err := strconv.Atoi(part); err == nil {
			continue
		}
		if len(out) > 0 {
			out = append(out, '.')
		}
		out = append(out, part...)
	}
	return string(out)
}

// lines finds the line of every key in a document that is known to parse.
func lines(data []byte) map[string]int {
	var p unstable.Parser
	p.Reset(data)
	w := lineWalk{parser: &p, lines: make(map[string]int), lists: make(map[string]int)}
	prefix := ""
	for p.NextExpression() {
		node := p.Expression()
		switch node.Kind {
		case unstable.Table:
			prefix = w.key("", node.Key())
		case unstable.ArrayTable:
			prefix = w.element(node)
		case unstable.KeyValue:
			w.keyValue(prefix, node)
		}
	}
	return w.lines
}

type lineWalk struct {
	parser *unstable.Parser
	lines  map[string]int
	lists  map[string]int // elements seen of each list of tables
}

// key gives the path of a dotted key and notes the line of each of its parts.
func (w *lineWalk) key(path string, key unstable.Iterator) string {
	for key.Next() {
		if n := w.lists[path]; n > 0 { // [a.b] after [[a]] is in a's last element
			path = join(path, strconv.Itoa(n-1))
		}
		path = join(path, string(key.Node().Data))
		if _, ok := w.lines[path]; !ok {
			w.lines[path] = w.parser.Shape(key.Node().Raw).Start.Line
		}
	}
	return path
}

// element gives the path of the element that a [[header]] begins.
func (w *lineWalk) element(node *unstable.Node) string {
	list := w.key("", node.Key())
	w.lists[list]++
	path := join(list, strconv.Itoa(w.lists[list]-1))
	last := node.Key()
	for last.Next() {
		w.lines[path] = w.parser.Shape(last.Node().Raw).Start.Line
	}
	return path
}

func (w *lineWalk) keyValue(prefix string, node *unstable.Node) {
	path := w.key(prefix, node.Key())
	w.inside(path, node.Value())
}

// inside notes the lines of the keys in inline tables.
func (w *lineWalk) inside(path string, value *unstable.Node) {
	children := value.Children()
	for i := 0; children.Next(); i++ {
		child := children.Node()
		switch {
		case value.Kind == unstable.InlineTable:
			w.keyValue(path, child)
		case child.Kind == unstable.InlineTable:
			w.inside(join(path, strconv.Itoa(i)), child)
		}
	}
}

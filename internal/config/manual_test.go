package config

import (
	"encoding"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// docs/config.md says what the structs' comments say.
func TestManualIsCurrent(t *testing.T) {
	t.Parallel()
	golden(t, "../../docs/config.md", manual(t))
}

// manual writes the reference of all keys.
func manual(t *testing.T) []byte {
	t.Helper()
	docs := make(map[string]string)
	for _, name := range []string{"config.go", "accounts.go", "signin.go", "acme.go", "bucket.go", "fetch.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(docs, comments(file))
	}
	m := manualWriter{t: t, docs: docs}
	m.printf("# Configuration\n\n")
	m.printf("<!-- Made from the comments in internal/config by go generate. -->\n\n")
	m.printf("`postwain serve --config FILE` and `postwain fetch --config FILE` read a [TOML](https://toml.io) file; it may be the\n")
	m.printf("same one. `postwain config check FILE` tells everything that is wrong with one. A key that does not exist is an\n")
	m.printf("error. A file that loads today loads for ever.\n\n")
	example, err := os.ReadFile("testdata/fixed.toml")
	if err != nil {
		t.Fatal(err)
	}
	m.printf("```toml\n%s```\n", example)
	m.printf("\n## At the top\n")
	m.section("", reflect.ValueOf(*Default()))
	return []byte(m.b.String())
}

// comments gives the comment of each struct, and of each field as
// "Struct.Field".
func comments(file *ast.File) map[string]string {
	docs := make(map[string]string)
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		spec := gen.Specs[0].(*ast.TypeSpec)
		docs[spec.Name.Name] = gen.Doc.Text()
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, field := range fields.Fields.List {
			docs[spec.Name.Name+"."+field.Names[0].Name] = field.Doc.Text()
		}
	}
	return docs
}

type manualWriter struct {
	t    *testing.T
	b    strings.Builder
	docs map[string]string
}

func (m *manualWriter) printf(format string, args ...any) { fmt.Fprintf(&m.b, format, args...) }

// section writes the keys of a struct, then the sections inside it.
func (m *manualWriter) section(path string, v reflect.Value) {
	type inner struct {
		title, path string
		value       reflect.Value
	}
	var later []inner
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := f.Tag.Get("toml")
		switch {
		case key == "-":
		case f.Type.Kind() == reflect.Struct && !implementsText(f.Type):
			later = append(later, inner{"[" + join(path, key) + "]", join(path, key), v.Field(i)})
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && !implementsText(f.Type.Elem()):
			elem := reflect.New(f.Type.Elem())
			if unset, ok := elem.Interface().(interface{ setDefaults() }); ok {
				unset.setDefaults()
			}
			later = append(later, inner{"[[" + join(path, key) + "]]", join(path, key), elem.Elem()})
		default:
			m.key(v.Type().Name()+"."+f.Name, f.Name, key, v.Field(i))
		}
	}
	for _, in := range later {
		m.printf("\n## `%s`\n\n%s", in.title, strings.TrimSpace(m.doc(in.value.Type().Name()))+"\n")
		m.section(in.path, in.value)
	}
}

func (m *manualWriter) key(doc, name, key string, value reflect.Value) {
	text := strings.Replace(m.doc(doc), name, "`"+key+"`", 1)
	m.printf("\n%s", strings.TrimSpace(text))
	if d := show(m.t, value); d != "" && !strings.Contains(text, "Unset: ") {
		m.printf(" Default: `%s`.", d)
	}
	m.printf("\n")
}

func (m *manualWriter) doc(name string) string {
	if m.docs[name] == "" {
		m.t.Errorf("%s has no comment", name)
	}
	return m.docs[name]
}

func implementsText(typ reflect.Type) bool {
	return reflect.PointerTo(typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// show writes a default as the file would.
func show(t *testing.T, value reflect.Value) string {
	t.Helper()
	switch v := value.Interface().(type) {
	case time.Duration:
		return fmt.Sprintf("%q", formatDuration(v))
	case bool, int:
		return fmt.Sprint(v)
	case Mode, []Network, Addr:
		return ""
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			t.Error(err)
		}
		return fmt.Sprintf("%q", text)
	}
	if value.Kind() == reflect.String && value.Len() > 0 {
		return fmt.Sprintf("%q", value.String())
	}
	return ""
}

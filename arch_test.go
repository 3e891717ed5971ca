package postwain_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/postwain/postwain/"

// rooms is the import table: which packages of ours a package may know. A
// pattern ends in /* where it stands for each package right below it. The
// first row that matches decides. Tests may know more, except that the server
// and the client never know each other.
var rooms = []struct{ room, may string }{
	{"maildrop", ""},
	{"sasl", ""},
	{"internal/dot", ""},
	{"internal/fsx", ""},
	{"internal/fsx/faultfs", "internal/fsx"},
	{"internal/listen", ""},
	{"internal/obs", ""},
	{"internal/config", "pop3"},
	{"pop3", "internal/dot"},
	{"pop3server", "pop3 sasl maildrop"},
	{"pop3client", "pop3 sasl maildrop internal/dot"},
	{"pop3test", "pop3server sasl maildrop maildrop/*"},
	{"maildrop/*", "maildrop"},
	{"internal/store", "maildrop internal/fsx internal/store/*"},
	{"internal/store/*", "maildrop internal/fsx internal/dot"},
	{"internal/auth", "sasl"},
	{"internal/auth/linefile", "internal/fsx"},
	{"internal/auth/passwdfile", "sasl internal/fsx internal/auth/linefile"},
	{"internal/auth/apppassword", "sasl internal/fsx internal/auth/linefile"},
	{"internal/auth/sql", "sasl internal/auth/passwdfile"},
	{"internal/auth/pam", "sasl internal/auth/command"},
	{"internal/auth/*", "sasl internal/fsx internal/krb"},
	{"internal/krb", ""},
	{"internal/kpop", "internal/krb"},
	{"internal/sandbox", ""},
	{"internal/acme", ""},
	{"internal/lmtp", "maildrop internal/dot"},
	{"internal/fetch", "maildrop pop3 pop3client sasl internal/fsx internal/fetch/sink"},
	{"internal/fetch/sink", ""},
	{"internal/fetch/sink/*", "internal/fetch/sink internal/fetch/sink/spool maildrop sasl internal/dot internal/fsx"},
	{"internal/fetch/secret", ""},
	{"internal/fetch/token", "internal/fetch/secret internal/fsx"},
	{"internal/fetch/rcfile", "pop3"},
	{"internal/progress", ""},
	{"internal/testkit", "pop3 maildrop"},
	{"internal/daemon", "pop3 pop3server pop3client sasl maildrop internal/*"},
	{"internal/cli", "internal/daemon internal/config internal/auth/passwdfile internal/auth/apppassword internal/fsx internal/fetch internal/fetch/rcfile internal/progress internal/sandbox"},
	{"cmd/postwain", "internal/cli"},
	{"test/rig", ""},
	{"test/campaign", ""},
	{"test/prove", "test/campaign test/differential test/powercut test/model test/simulation test/inject test/rivals test/swarm test/storm"},
	{"test/differential", "test/campaign test/rig maildrop maildrop/memdrop pop3 pop3server sasl internal/store/* internal/fsx internal/listen"},
	{"test/powercut", "test/campaign test/rig maildrop maildrop/maildroptest internal/fsx internal/store/* internal/fetch"},
	{"test/rivals", "test/campaign test/rig maildrop internal/fsx internal/store/*"},
	{"test/model", "test/campaign maildrop maildrop/* internal/fsx internal/fsx/faultfs internal/store/* internal/fetch internal/fetch/sink internal/fetch/sink/* internal/auth/linefile internal/auth/passwdfile internal/auth/apppassword"},
	{"test/simulation", "test/campaign maildrop maildrop/memdrop maildrop/maildroptest pop3 pop3server pop3client sasl internal/testkit internal/fsx internal/fsx/faultfs internal/store/* internal/lmtp internal/fetch internal/fetch/sink internal/fetch/sink/* internal/dot"},
	{"test/inject", "test/campaign test/rig pop3client maildrop"},
	{"test/swarm", "test/campaign test/rig pop3client"},
	{"test/storm", "test/campaign maildrop maildrop/memdrop pop3 pop3server pop3client sasl internal/dot internal/lmtp internal/fsx internal/fsx/faultfs internal/store/* internal/fetch internal/config internal/listen internal/auth/passwdfile internal/kpop internal/krb"},
	{"bench", "test/rig"},
}

// public packages are what other projects import: the standard library and
// golang.org/x are all that they may need.
// The mechanisms of SCRAM come from one module.
var public = []string{"pop3", "pop3server", "pop3client", "pop3test", "sasl", "maildrop", "maildrop/memdrop", "maildrop/maildroptest"}

const scram = "github.com/xdg-go/scram"

// protocol packages compare what came from the wire by ASCII only: Unicode
// folding makes "ſtlſ" equal to "STLS".
var protocol = []string{
	"pop3", "pop3server", "pop3client", "sasl", "internal/dot", "internal/lmtp", "internal/fetch", "internal/fetch/sink/smtp",
	"internal/krb", "internal/kpop", "internal/auth/kerberos",
}

const maxLines, maxTestLines = 400, 800

type source struct {
	pkg, name string // folder and path, relative to the root
	test      bool
	file      *ast.File
	lines     int
	fset      *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && p != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, p, text, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{
			pkg: path.Dir(filepath.ToSlash(p)), name: filepath.ToSlash(p), file: file, fset: fset,
			test: strings.HasSuffix(p, "_test.go"), lines: strings.Count(string(text), "\n"),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s source) imports() []string {
	var list []string
	for _, i := range s.file.Imports {
		list = append(list, strings.Trim(i.Path.Value, `"`))
	}
	return list
}

func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.name, s.fset.Position(n.Pos()).Line)
}

func matches(pattern, pkg string) bool {
	ok, _ := path.Match(pattern, pkg)
	return ok || pattern == "internal/*" && strings.HasPrefix(pkg, "internal/")
}

// allowed reports whether pkg stands in the table, and whether its row lets it
// know other.
func allowed(pkg, other string) (listed, ok bool) {
	for _, r := range rooms {
		if !matches(r.room, pkg) {
			continue
		}
		return true, slices.ContainsFunc(strings.Fields(r.may), func(p string) bool { return matches(p, other) })
	}
	return false, false
}

func TestImportsFollowTheTable(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.pkg == "." {
			continue
		}
		if listed, _ := allowed(s.pkg, ""); !listed {
			t.Errorf("%s: package %s has no row in the table of arch_test.go", s.name, s.pkg)
			continue
		}
		for _, imported := range s.imports() {
			other, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			if _, ok := allowed(s.pkg, other); !ok {
				t.Errorf("%s: %s may not know %s", s.name, s.pkg, other)
			}
		}
	}
}

func TestServerAndClientNeverKnowEachOther(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports() {
			if s.pkg == "pop3client" && imported == module+"pop3server" && !s.test ||
				s.pkg == "pop3server" && imported == module+"pop3client" {
				t.Errorf("%s imports %s", s.name, imported)
			}
		}
	}
}

// The module path of a third party, as far as its importers are concerned.
func thirdParty(imported string) (string, bool) {
	parts := strings.Split(imported, "/")
	if !strings.Contains(parts[0], ".") || strings.HasPrefix(imported, module) || parts[0] == "golang.org" {
		return "", false
	}
	return strings.Join(parts[:min(3, len(parts))], "/"), true
}

func TestThirdPartiesHaveOneImporter(t *testing.T) {
	importer := map[string]string{}
	for _, s := range sources(t) {
		for _, imported := range s.imports() {
			m, third := thirdParty(imported)
			if !third || s.test {
				continue
			}
			if slices.Contains(public, s.pkg) && (s.pkg != "sasl" || m != scram) {
				t.Errorf("%s: a public package needs %s", s.name, m)
			}
			if first, seen := importer[m]; seen && first != s.pkg {
				t.Errorf("%s: %s is imported by %s already", s.name, m, first)
			}
			importer[m] = s.pkg
		}
	}
}

// forbidden names calls that have no place in the packages given, with the
// reason that a reader needs.
var forbidden = []struct {
	call, where, why string
	tests            bool
}{
	{"strings.EqualFold", "protocol", `"ſtlſ" folds to STLS: compare ASCII only`, false},
	{"bytes.EqualFold", "protocol", `"ſtlſ" folds to STLS: compare ASCII only`, false},
	{"strings.ToUpper", "protocol", "it changes lengths on invalid UTF-8: fold ASCII only", false},
	{"strings.ToLower", "protocol", "it changes lengths on invalid UTF-8: fold ASCII only", false},
	{"bytes.ToUpper", "protocol", "it changes lengths on invalid UTF-8: fold ASCII only", false},
	{"bytes.ToLower", "protocol", "it changes lengths on invalid UTF-8: fold ASCII only", false},
	{"bytes.Equal", "secrets", "its time tells how much of a secret is right: subtle.ConstantTimeCompare", false}, // fault 89
	{"bytes.Compare", "secrets", "its time tells how much of a secret is right: subtle.ConstantTimeCompare", false},
	{"time.Sleep", "all", "wait for the event; a synctest bubble, where time is the event, may sleep", true},
	{"os.Exit", "all", "return an error; only main ends the program", false},
}

// hasSecrets reports whether a package compares what clients must not learn.
func hasSecrets(pkg string) bool {
	return slices.Contains([]string{"sasl", "internal/krb", "internal/kpop", "internal/auth"}, pkg) || strings.HasPrefix(pkg, "internal/auth/")
}

func TestForbiddenCalls(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports() {
			if imported == "net/textproto" {
				t.Errorf("%s: net/textproto ends data at LF.LF and has no line limit", s.name)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			for _, f := range forbidden {
				here := f.where == "all" || f.where == "protocol" && slices.Contains(protocol, s.pkg) || f.where == "secrets" && hasSecrets(s.pkg)
				if here && f.call == x.Name+"."+sel.Sel.Name && (f.tests || !s.test) && !s.mayCall(f.call) {
					t.Errorf("%s: no %s here: %s", s.at(n), f.call, f.why)
				}
			}
			return true
		})
	}
}

// mayCall is where a forbidden call belongs: os.Exit in a main, and Sleep
// where time stands still, or where the passing of it is what is measured.
func (s source) mayCall(call string) bool {
	switch call {
	case "os.Exit":
		return s.file.Name.Name == "main"
	case "time.Sleep":
		return s.pkg == "bench" || s.pkg == "internal/testkit" || s.pkg == "test/simulation" || slices.Contains(s.imports(), "testing/synctest")
	}
	return false
}

func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s: side effects at import", s.at(f))
			}
		}
	}
}

func TestFilesStaySmall(t *testing.T) {
	for _, s := range sources(t) {
		limit := maxLines
		if s.test {
			limit = maxTestLines
		}
		if s.lines > limit {
			t.Errorf("%s has %d lines; over %d a subject has no home yet", s.name, s.lines, limit)
		}
	}
}

func TestEveryPackageHasOneDoc(t *testing.T) {
	docs := map[string][]string{}
	for _, s := range sources(t) {
		if s.test || s.pkg == "." {
			continue
		}
		if _, seen := docs[s.pkg]; !seen {
			docs[s.pkg] = nil
		}
		if s.file.Doc != nil {
			docs[s.pkg] = append(docs[s.pkg], s.name)
		}
	}
	for pkg, files := range docs {
		if len(files) != 1 {
			t.Errorf("%s has %d package comments, wants one: %v", pkg, len(files), files)
		}
	}
}

func TestPublicNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !slices.Contains(public, s.pkg) {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					t.Errorf("%s: %s has no comment", s.at(d), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					checkSpec(t, s, d, spec)
				}
			}
		}
	}
}

func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}

func checkSpec(t *testing.T, s source, d *ast.GenDecl, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
			t.Errorf("%s: %s has no comment", s.at(spec), spec.Name.Name)
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				t.Errorf("%s: %s has no comment", s.at(spec), name.Name)
			}
		}
	}
}

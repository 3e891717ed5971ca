package sql

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Secrets that must never be seen where they do not belong.
const (
	dsnPassword  = "canary-dsn-secret"
	userPassword = "canary-user-secret"
	storedPlain  = "{PLAIN}" + userPassword
)

const testQuery = "SELECT account, password, allow_nets, nologin FROM users WHERE name = $1"

// database is a server that is scripted. It listens on loopback.
type database struct {
	t testing.TB
	l net.Listener

	columns []string
	rows    map[string][][]string // by name; "NULL" is one
	params  int                   // of each query
	fail    map[string]string     // SQLSTATE by name
	prepare string                // SQLSTATE of Parse
	raw     func(name string) []byte

	mu    sync.Mutex
	said  []string
	down  bool
	mute  bool // it takes questions and says nothing
	conns map[net.Conn]bool
	dials int
	group sync.WaitGroup
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &database{
		t: t, l: l, params: 1, conns: map[net.Conn]bool{},
		columns: []string{"account", "password", "allow_nets", "nologin"},
		rows: map[string][][]string{
			"alice":    {{"alice@example.org", storedPlain, "127.0.0.0/8", "f"}},
			"bob":      {{"NULL", storedPlain, "NULL", "NULL"}},
			"closed":   {{"closed", storedPlain, "NULL", "t"}},
			"empty":    {{"empty", "NULL", "NULL", "NULL"}},
			"star":     {{"star", "*", "NULL", "NULL"}},
			"twin":     {{"twin1", storedPlain, "NULL", "NULL"}, {"twin2", storedPlain, "NULL", "NULL"}},
			"des":      {{"des", "canaryhash12", "NULL", "NULL"}},
			"nameless": {{"not a name", storedPlain, "NULL", "NULL"}},
			"noisy":    {{"noisy", storedPlain, "a\x01b", "NULL"}},
		},
		fail: map[string]string{"ended": "57P01", "slow": "57014", "denied": "42501", "encoding": "22P05"},
	}
	d.group.Go(d.serve)
	t.Cleanup(func() {
		l.Close()
		d.stop(true)
		d.group.Wait()
	})
	return d
}

func (d *database) serve() {
	for {
		c, err := d.l.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		d.dials++
		d.conns[c] = true
		d.mu.Unlock()
		d.group.Go(func() {
			defer func() {
				c.Close()
				d.mu.Lock()
				delete(d.conns, c)
				d.mu.Unlock()
			}()
			d.speak(c)
		})
	}
}

// dial is the network of the tests.
func (d *database) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	d.mu.Lock()
	down := d.down
	d.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", d.l.Addr().String())
}

// stop ends the server, or starts it again.
func (d *database) stop(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = down
	for c := range d.conns {
		c.Close()
	}
}

func (d *database) note(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, text)
}

func (d *database) asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	said := d.said
	d.said = nil
	return said
}

func (d *database) silent() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mute
}

func (d *database) speak(c net.Conn) {
	b := pgproto3.NewBackend(c, c)
	start, err := b.ReceiveStartupMessage()
	if err != nil {
		return
	}
	s, ok := start.(*pgproto3.StartupMessage)
	if !ok {
		return
	}
	d.note("timeout " + s.Parameters["statement_timeout"])
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	status := byte('I')
	for b.Flush() == nil {
		m, err := b.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *pgproto3.Query:
			d.note(m.String)
			switch {
			case strings.HasPrefix(m.String, "begin"):
				status = 'T'
			case strings.HasPrefix(m.String, "rollback"):
				status = 'I'
			}
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("OK")})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: status})
		case *pgproto3.Parse:
			if d.prepare != "" {
				b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: d.prepare, Message: "syntax error at or near"})
				continue
			}
			b.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Describe:
			if d.prepare != "" {
				continue
			}
			if m.ObjectType == 'S' {
				b.Send(&pgproto3.ParameterDescription{ParameterOIDs: slices.Repeat([]uint32{25}, d.params)})
			}
			b.Send(d.description())
		case *pgproto3.Bind:
			if d.silent() {
				continue
			}
			name := string(m.Parameters[0])
			d.note("name " + name)
			if d.answer(b, c, name) {
				status = 'E'
			}
		case *pgproto3.Sync:
			if d.silent() {
				continue
			}
			b.Send(&pgproto3.ReadyForQuery{TxStatus: status})
		case *pgproto3.Terminate:
			return
		}
	}
}

func (d *database) description() *pgproto3.RowDescription {
	r := &pgproto3.RowDescription{}
	for _, c := range d.columns {
		r.Fields = append(r.Fields, pgproto3.FieldDescription{Name: []byte(c), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1})
	}
	return r
}

// answer answers a Bind with all that comes of it.
func (d *database) answer(b *pgproto3.Backend, c net.Conn, name string) (failed bool) {
	if d.raw != nil {
		b.Flush()
		c.Write(d.raw(name))
		return false
	}
	b.Send(&pgproto3.BindComplete{})
	if code := d.fail[name]; code != "" {
		b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: code, Message: "it is " + storedPlain})
		return true
	}
	b.Send(d.description())
	for _, r := range d.rows[name] {
		var values [][]byte
		for _, v := range r {
			if v == "NULL" {
				values = append(values, nil)
			} else {
				values = append(values, []byte(v))
			}
		}
		b.Send(&pgproto3.DataRow{Values: values})
	}
	b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
	return false
}

func options() Options {
	return Options{
		DSN:       "host=127.0.0.1 user=postwain dbname=mail sslmode=disable password=" + dsnPassword,
		UserQuery: testQuery, Timeout: 5 * time.Second,
	}
}

func open(t testing.TB, d *database, o Options) *Source {
	t.Helper()
	s, err := newSource(o, d.dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// quiet fails the test if err has a secret.
func quiet(t testing.TB, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("a secret is in the error: %v", err)
	}
}

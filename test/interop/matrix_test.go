//go:build interop

// Package interop proves Postwain with the mail programs of other people, as
// Debian ships them: they bring the mail in, and they take it out. A program
// that is missing is a failure.
package interop

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/postwain/postwain/test/rig"
)

// transport is how a client reaches the server.
type transport string

const (
	inClear  transport = "clear"
	stls     transport = "STLS"
	implicit transport = "TLS"
)

var transports = []transport{inClear, stls, implicit}

// job is one run of a client.
type job struct {
	server    *rig.Server
	transport transport
	authority string // PEM file of the authorities to trust
	account   string
	delete    bool   // remove what was fetched; else keep it on the server
	state     string // directory in which the client remembers, kept between runs
	out       string // empty directory for what it fetches
}

func (j job) port() string {
	if j.transport == implicit {
		return fmt.Sprint(j.server.POP3S)
	}
	return fmt.Sprint(j.server.POP3)
}

// client is one program.
type client struct {
	name string
	// lacks lists the transports that the program does not have.
	lacks []transport
	// forgets says that the program keeps no memory between runs, so that it
	// fetches everything again.
	forgets bool
	// alters lists the letters, by name, that the program changes or refuses
	// although the server sent them right, with the reason.
	alters map[string]string
	// fetch runs it once and gives the messages as the program delivers them.
	fetch func(context.Context, job) ([][]byte, error)
}

var clients = []client{postwainFetch, fetchmail, mpop, getmail, curl, mutt, poplib, netPOP3, netPop}

// results is the table that is printed at the end.
type results struct {
	mu   sync.Mutex
	cell map[[3]string]string // server, client, transport
}

var table = results{cell: map[[3]string]string{}}

func (r *results) set(server string, c client, t transport, verdict string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cell[[3]string{server, c.name, string(t)}] = verdict
}

func (r *results) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, server := range []string{"Dovecot", "Postwain"} {
		fmt.Fprintf(w, "\n%s\tclear\tSTLS\tTLS\n", server)
		for _, c := range clients {
			fmt.Fprint(w, c.name)
			for _, t := range transports {
				fmt.Fprintf(w, "\t%s", r.cell[[3]string{server, c.name, string(t)}])
			}
			fmt.Fprintln(w)
		}
	}
	w.Flush()
}

func accountOf(c client, t transport) string {
	name := strings.NewReplacer(" ", "-", "::", "-", "/", "-").Replace(c.name)
	return rig.Account(strings.ToLower(name + "-" + string(t)))
}

// testMatrix runs every client by every transport against a server whose
// Maildirs are those of the space.
func testMatrix(t *testing.T, name string, space *rig.Space, server *rig.Server, mail []stored) {
	for _, c := range clients {
		for _, tr := range transports {
			if slices.Contains(c.lacks, tr) {
				table.set(name, c, tr, "has none")
				continue
			}
			t.Run(c.name+"/"+string(tr), func(t *testing.T) {
				t.Parallel()
				table.set(name, c, tr, "FAILED")
				p := play{t: t, client: c, maildir: space.Maildir(accountOf(c, tr)), job: job{
					server: server, transport: tr, authority: space.TLS.Authority, account: accountOf(c, tr),
				}}
				p.run(mail, space.TLS.Stranger)
				if !t.Failed() {
					table.set(name, c, tr, "ok")
				}
			})
		}
	}
}

// play is what one client has to do by one transport.
type play struct {
	t       *testing.T
	client  client
	job     job
	maildir string
	want    [][]byte
}

func (p *play) run(mail []stored, stranger string) {
	mail = slices.DeleteFunc(slices.Clone(mail), func(m stored) bool {
		_, ok := p.client.alters[letterOf(m.data)]
		return ok
	})
	p.want = bodies(mail)
	if err := writeMaildir(p.maildir, mail); err != nil {
		p.t.Fatal(err)
	}
	before := p.names()
	if p.job.transport != inClear {
		p.refuses(stranger)
	}
	p.job.state = p.t.TempDir()
	p.expect("keep", p.want)
	if p.client.forgets {
		p.expect("keep again", p.want)
	} else {
		p.expect("keep again", nil)
	}
	if after := p.names(); !slices.Equal(before, after) {
		p.t.Errorf("reading has changed the Maildir:\n%q\n%q", before, after)
	}
	p.job.state, p.job.delete = p.t.TempDir(), true
	p.expect("delete", p.want)
	if left := p.names(); len(left) > 0 {
		p.t.Errorf("left after deletion: %q", left)
	}
}

func (p *play) expect(step string, want [][]byte) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	p.job.out = p.t.TempDir()
	got, err := p.client.fetch(ctx, p.job)
	if err != nil {
		p.t.Fatalf("%s: %v", step, err)
	}
	if err := compare(got, want); err != nil {
		p.t.Errorf("%s:\n%v", step, err)
	}
}

// refuses checks that the client verifies the certificate at all: otherwise the
// runs that trust the right authority prove nothing.
func (p *play) refuses(stranger string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	j := p.job
	j.authority, j.state, j.out = stranger, p.t.TempDir(), p.t.TempDir()
	if got, _ := p.client.fetch(ctx, j); len(got) > 0 {
		p.t.Errorf("accepted a certificate of an unknown authority and fetched %d messages", len(got))
	}
}

func (p *play) names() []string {
	all, err := readMaildir(p.maildir)
	if err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for _, m := range all {
		names = append(names, m.name)
	}
	slices.Sort(names)
	return names
}

func matrixAccounts() []string {
	var all []string
	for _, c := range clients {
		for _, t := range transports {
			all = append(all, accountOf(c, t))
		}
	}
	return all
}

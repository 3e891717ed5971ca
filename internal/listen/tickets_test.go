package listen

import (
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"
)

// frozen is a cache that keeps the first session only, where a client would go
// on to the tickets of later ones.
type frozen struct{ first *tls.ClientSessionState }

func (f *frozen) Get(string) (*tls.ClientSessionState, bool) { return f.first, f.first != nil }
func (f *frozen) Put(_ string, s *tls.ClientSessionState) {
	if f.first == nil {
		f.first = s
	}
}

func resumes(t *testing.T, server, client *tls.Config) bool {
	t.Helper()
	ends, err := converse(t, server, client)
	if err != nil {
		t.Fatal(err)
	}
	if ends.client.DidResume != ends.server.DidResume {
		t.Fatal("the ends differ")
	}
	return ends.client.DidResume
}

// What the clients of all listeners count: every connection but the first is
// resumed, wherever it goes, and whatever is reloaded in between.
func TestResumption(t *testing.T) {
	t.Parallel()
	pair := issue(t, "a", time.Now(), "mail.example.org")
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, err := LoadCertificates([]Pair{pair})
			if err != nil {
				t.Fatal(err)
			}
			client := &tls.Config{ServerName: "mail.example.org", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
			if resumes(t, c.Config(), client) {
				t.Fatal("the first is resumed")
			}
			// pop3server serves clones, one for each listener and reload.
			count := 0
			for range 10 {
				if resumes(t, c.Config().Clone(), client) {
					count++
				}
				if _, err := c.Reload([]Pair{pair}); err != nil {
					t.Fatal(err)
				}
				if resumes(t, c.ConfigFor(Policy{}), client) {
					count++
				}
			}
			if count != 20 {
				t.Errorf("%d of 20 are resumed", count)
			}
			strict := &frozen{}
			client.ClientSessionCache = strict
			resumes(t, c.Config(), client)
			if resumes(t, c.ConfigFor(Policy{Legacy: true}), client) {
				t.Error("a strict session is resumed by a legacy listener")
			}
			client.ClientSessionCache = &frozen{}
			resumes(t, c.ConfigFor(Policy{Legacy: true}), client)
			if resumes(t, c.Config(), client) {
				t.Error("a legacy session is resumed by a strict listener")
			}
			other, _, err := LoadCertificates([]Pair{pair})
			if err != nil {
				t.Fatal(err)
			}
			client.ClientSessionCache = strict
			if resumes(t, other.Config(), client) {
				t.Error("another server has the keys")
			}
		})
	}
}

// A ticket is good for at least 16 hours and never for more than 24, however
// many or few clients come; one key is in use for 8.
func TestRotation(t *testing.T) {
	t.Parallel()
	for name, visits := range map[string]time.Duration{"busy": time.Hour, "quiet": 15 * time.Hour, "idle": 1000 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, _, err := LoadCertificates([]Pair{issue(t, "a", time.Now(), "mail.example.org")})
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				client := &tls.Config{ServerName: "mail.example.org", ClientSessionCache: &frozen{}}
				resumes(t, c.Config(), client)
				visit := func(until time.Duration) {
					for time.Since(begun)+visits < until {
						time.Sleep(visits) // fake time
						resumes(t, c.Config(), &tls.Config{})
					}
					time.Sleep(until - time.Since(begun))
				}
				visit(16*time.Hour - time.Second)
				if !resumes(t, c.Config(), client) {
					t.Error("not resumed after 16 hours")
				}
				visit(24 * time.Hour)
				resumes(t, c.Config(), &tls.Config{})
				if resumes(t, c.Config(), client) {
					t.Error("resumed after 24 hours")
				}
				if len(c.tickets.keys) > ticketKeys {
					t.Errorf("%d keys", len(c.tickets.keys))
				}
			})
		})
	}
}

// Nobody comes for days: the old key opens nothing.
func TestRotationAfterSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, err := LoadCertificates([]Pair{issue(t, "a", time.Now(), "mail.example.org")})
		if err != nil {
			t.Fatal(err)
		}
		client := &tls.Config{ServerName: "mail.example.org", ClientSessionCache: &frozen{}}
		resumes(t, c.Config(), client)
		time.Sleep(25 * time.Hour) // fake time
		if resumes(t, c.Config(), client) || len(c.tickets.keys) != 1 {
			t.Error("a key of yesterday is in use")
		}
	})
}

// What is no ticket of ours begins a full handshake.
func TestForeignTickets(t *testing.T) {
	t.Parallel()
	var ours tickets
	c := &tls.Config{}
	ours.use(c, "strict")
	for _, ticket := range [][]byte{nil, {}, make([]byte, 48), make([]byte, 10000)} {
		if s, err := c.UnwrapSession(ticket, tls.ConnectionState{}); s != nil || err != nil {
			t.Errorf("%d octets: %v, %v", len(ticket), s, err)
		}
	}
}

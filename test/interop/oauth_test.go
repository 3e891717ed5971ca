//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/postwain/postwain/internal/auth/oauth"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
	"github.com/postwain/postwain/test/rig"
)

const (
	tokenUser   = "bob@example.org"
	tokenLetter = "Subject: tokens\r\n\r\nPlease.\r\n"
)

// identity is a provider of tokens, on loopback in TLS: JWTs, of which it also
// says whether they are good.
type identity struct {
	*httptest.Server
	key   *ecdsa.PrivateKey
	trust *tls.Config
}

func newIdentity(t *testing.T, space *rig.Space, trust *tls.Config) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(space.TLS.Cert, space.TLS.Key)
	if err != nil {
		t.Fatal(err)
	}
	i := &identity{key: key, trust: trust}
	i.Server = httptest.NewUnstartedServer(i)
	i.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	i.StartTLS()
	t.Cleanup(i.Close)
	return i
}

func (i *identity) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
	case "/keys":
		public := jose.JSONWebKey{Key: i.key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}
		answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}}
	case "/introspect":
		if id, secret, _ := r.BasicAuth(); id != "postwain" || secret != rig.Password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer = i.inspect(r.PostFormValue("token"))
	}
	json.NewEncoder(w).Encode(answer)
}

// inspect answers as RFC 7662 §2.2 wants it.
func (i *identity) inspect(token string) map[string]any {
	inactive := map[string]any{"active": false}
	jws, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return inactive
	}
	payload, err := jws.Verify(i.key.Public())
	answer := map[string]any{}
	if err != nil || json.Unmarshal(payload, &answer) != nil || answer["exp"].(float64) < float64(time.Now().Unix()) {
		return inactive
	}
	answer["active"], answer["username"], answer["token_type"] = true, answer["email"], "Bearer"
	return answer
}

// token is for user, and ends after life. It is as long as those of the large
// providers.
func (i *identity) token(t *testing.T, user string, life time.Duration) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithHeader("typ", "at+jwt").WithHeader("kid", "1")
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(map[string]any{
		"iss": i.URL, "aud": rig.Host, "email": user, "email_verified": true, "scope": "openid mail.pop",
		"exp": time.Now().Add(life).Unix(), "groups": strings.Repeat("g", 1200),
	})
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// verifiers are both ways to verify its tokens.
func (i *identity) verifiers(t *testing.T) map[string]*oauth.Verifier {
	t.Helper()
	all := map[string]*oauth.Verifier{}
	for name, o := range map[string]oauth.Options{
		"introspection": {
			Introspection: i.URL + "/introspect", ClientID: "postwain",
			ClientSecret: func(context.Context) (string, error) { return rig.Password, nil },
		},
		"JWT": {Issuer: i.URL},
	} {
		o.Audiences, o.Scopes, o.TLS = []string{rig.Host}, []string{"mail.pop"}, i.trust
		v, err := oauth.New(o)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = v
	}
	return all
}

// tokenSite is a POP3 server in TLS that has one mechanism and bob's mail.
type tokenSite struct {
	space     *rig.Space
	mail      *memdrop.Store
	mechanism sasl.Mechanism
	port      int
	trust     *tls.Config
	logins    chan pop3server.Login // one for each attempt
}

func newTokenSite(t *testing.T, space *rig.Space, trust *tls.Config, m sasl.Mechanism) *tokenSite {
	t.Helper()
	s := &tokenSite{space: space, mail: memdrop.New(), mechanism: m, trust: trust, logins: make(chan pop3server.Login, 16)}
	if err := s.mail.Deliver(t.Context(), tokenUser, maildrop.Incoming{}, strings.NewReader(tokenLetter)); err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(space.TLS.Cert, space.TLS.Key)
	if err != nil {
		t.Fatal(err)
	}
	server := pop3server.NewServer(pop3server.Options{
		Backend: s, Implicit: true, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}},
		Trace: pop3server.Trace{Login: s.note},
	})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	s.port = l.Addr().(*net.TCPAddr).Port
	return s
}

func (s *tokenSite) NewSession(context.Context, pop3server.Peer) (pop3server.Session, error) {
	return s, nil
}
func (s *tokenSite) Mechanisms() []sasl.Mechanism { return []sasl.Mechanism{s.mechanism} }
func (s *tokenSite) Policy() pop3server.Policy    { return pop3server.Policy{} }
func (s *tokenSite) Close() error                 { return nil }

func (s *tokenSite) Open(ctx context.Context, account string) (maildrop.Box, pop3server.Policy, error) {
	box, err := s.mail.Open(ctx, account)
	return box, pop3server.Policy{}, err
}

func (s *tokenSite) note(_ pop3server.Peer, l pop3server.Login) { s.logins <- l }

// last gives what came of the login, if it was by the mechanism. The server may
// notice later than the client that it is over.
func (s *tokenSite) last() error {
	select {
	case l := <-s.logins:
		if l.Mechanism != s.mechanism.Name() || !l.TLS {
			return fmt.Errorf("login by %s, TLS %v: %v", l.Mechanism, l.TLS, l.Err)
		}
		return l.Err
	case <-time.After(30 * time.Second):
		return errors.New("nobody has tried")
	}
}

// trustOf trusts the authority of a space.
func trustOf(t *testing.T, space *rig.Space) *tls.Config {
	t.Helper()
	authority, err := os.ReadFile(space.TLS.Authority)
	if err != nil {
		t.Fatal(err)
	}
	trust := &tls.Config{RootCAs: x509.NewCertPool()}
	trust.RootCAs.AppendCertsFromPEM(authority)
	return trust
}

// tokenClient signs in with a token and gives the mail, and what it was told
// before the failure if that can be seen.
type tokenClient struct {
	name  string
	fetch func(t *testing.T, s *tokenSite, user, token string) (mail [][]byte, told string, err error)
}

// TestTokens has real clients sign in by both mechanisms, against both ways to
// verify: with a good token, one that has expired, and somebody else's.
func TestTokens(t *testing.T) {
	space := newSpace(t)
	trust := trustOf(t, space)
	provider := newIdentity(t, space, trust)
	for how, verifier := range provider.verifiers(t) {
		asks := sasl.BearerOptions{Scope: "mail.pop", OpenIDConfiguration: provider.URL + "/.well-known/openid-configuration"}
		for _, m := range []sasl.Mechanism{sasl.NewOAUTHBEARER(verifier, asks), sasl.NewXOAUTH2(verifier, asks)} {
			for _, c := range []tokenClient{
				{"ours in one line", ourToken(true)}, {"ours in two steps", ourToken(false)}, {"mpop", mpopToken},
				{"curl in one line", curlToken("--sasl-ir")}, {"curl in two steps", curlToken()},
			} {
				t.Run(how+"/"+m.Name()+"/"+c.name, func(t *testing.T) {
					testToken(t, newTokenSite(t, space, trust, m), provider, c)
				})
			}
		}
	}
}

func testToken(t *testing.T, s *tokenSite, provider *identity, c tokenClient) {
	mail, told, err := c.fetch(t, s, tokenUser, provider.token(t, tokenUser, time.Hour))
	if said := s.last(); err != nil || said != nil || told != "" || len(mail) != 1 || !bytes.Contains(mail[0], []byte("Subject: tokens")) {
		t.Errorf("%q, told %q, %v\nserver: %v", mail, told, err, said)
	}
	status := map[string]string{"OAUTHBEARER": "invalid_token", "XOAUTH2": "401"}[s.mechanism.Name()]
	for name, token := range map[string]string{
		"expired": provider.token(t, tokenUser, -time.Hour), "alice's": provider.token(t, "alice@example.org", time.Hour),
	} {
		mail, told, err := c.fetch(t, s, tokenUser, token)
		said := s.last()
		if err == nil || len(mail) > 0 || !errors.Is(said, sasl.ErrRefused) {
			t.Errorf("%s: %q, %v\nserver: %v", name, mail, err, said)
		}
		if told != status {
			t.Errorf("%s: told %q, want %q\n%v", name, told, status, err)
		}
		if said != nil && strings.Contains(said.Error(), token) {
			t.Errorf("%s: the token is in the error", name)
		}
	}
}

// TestTokensOutage has the provider be away: no client may take that for a token
// which is not good.
func TestTokensOutage(t *testing.T) {
	space := newSpace(t)
	trust := trustOf(t, space)
	provider := newIdentity(t, space, trust)
	token := provider.token(t, tokenUser, time.Hour)
	verifiers := provider.verifiers(t)
	provider.Close()
	for how, verifier := range verifiers {
		s := newTokenSite(t, space, trust, sasl.NewOAUTHBEARER(verifier, sasl.BearerOptions{}))
		for _, c := range []tokenClient{{"ours", ourToken(false)}, {"mpop", mpopToken}, {"curl", curlToken()}} {
			mail, told, err := c.fetch(t, s, tokenUser, token)
			said := s.last()
			if err == nil || len(mail) > 0 || told != "" || said == nil || errors.Is(said, sasl.ErrRefused) || !strings.Contains(err.Error(), "SYS/TEMP") {
				t.Errorf("%s, %s: %q, told %q, %v\nserver: %v", how, c.name, mail, told, err, said)
			}
		}
	}
}

// statusOf gives the status of the JSON object that a server has told in a
// challenge (RFC 7628 §3.2.2), of a dump of what was said.
func statusOf(dump []byte) string {
	for line := range bytes.Lines(dump) {
		_, text, _ := bytes.Cut(line, []byte("+ "))
		var failure struct{ Status string }
		challenge, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
		if err == nil && json.Unmarshal(challenge, &failure) == nil {
			return failure.Status
		}
	}
	return ""
}

func ourToken(oneLine bool) func(*testing.T, *tokenSite, string, string) ([][]byte, string, error) {
	return func(t *testing.T, s *tokenSite, user, token string) ([][]byte, string, error) {
		var m sasl.Client = sasl.XOAUTH2Client(user, token)
		if s.mechanism.Name() == "OAUTHBEARER" {
			m = sasl.OAUTHBEARERClient(user, token, rig.Host, s.port)
		}
		trust := s.trust.Clone()
		trust.ServerName = rig.Host
		c, err := pop3client.Dial(t.Context(), fmt.Sprintf("127.0.0.1:%d", s.port), pop3client.TLS, pop3client.Options{TLS: trust})
		if err != nil {
			return nil, "", err
		}
		defer c.Close()
		if err := c.Auth(t.Context(), m, oneLine); err != nil {
			_, status, _ := strings.Cut(fmt.Sprint(m.Done()), `status "`)
			status, _, _ = strings.Cut(status, `"`)
			return nil, status, err
		}
		mail, err := retrieve(t.Context(), c)
		return mail, "", err
	}
}

func mpopToken(t *testing.T, s *tokenSite, user, token string) ([][]byte, string, error) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "Maildir")
	if err := rig.MakeMaildir(out); err != nil {
		return nil, "", err
	}
	secret := filepath.Join(dir, "token")
	if err := os.WriteFile(secret, []byte(token+"\n"), 0o600); err != nil {
		return nil, "", err
	}
	rc := fmt.Sprintf("account default\nhost %s\nport %d\nuser %s\nauth %s\npasswordeval \"cat %s\"\n"+
		"tls on\ntls_starttls off\ntls_trust_file %s\nkeep on\nuidls_file %s\ndelivery maildir %s\n",
		rig.Host, s.port, user, strings.ToLower(s.mechanism.Name()), secret, s.space.TLS.Authority, filepath.Join(dir, "uidls"), out)
	path := filepath.Join(dir, "mpoprc")
	if err := os.WriteFile(path, []byte(rc), 0o600); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	said, err := run(ctx, nil, "mpop", "--file", path, "--debug")
	if err != nil {
		return nil, statusOf(said), err
	}
	mail, err := readDelivered(out)
	return mail, "", err
}

func curlToken(how ...string) func(*testing.T, *tokenSite, string, string) ([][]byte, string, error) {
	return func(t *testing.T, s *tokenSite, user, token string) ([][]byte, string, error) {
		args := append([]string{
			"--silent", "--show-error", "--verbose", "--ipv4", "--user", user + ":", "--oauth2-bearer", token,
			"--cacert", s.space.TLS.Authority, fmt.Sprintf("pop3s://%s:%d/1", rig.Host, s.port),
		}, how...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		mail, err := run(ctx, nil, "curl", args...)
		if err != nil {
			return nil, statusOf([]byte(err.Error())), err
		}
		return [][]byte{mail}, "", nil
	}
}

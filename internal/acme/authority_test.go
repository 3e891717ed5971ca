package acme

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// authority is as much of an ACME server (RFC 8555) as one client needs. It
// checks challenges for real, at address, and believes all signatures.
type authority struct {
	*httptest.Server
	address string // where every host is
	wantEAB bool

	root *x509.Certificate
	key  *ecdsa.PrivateKey

	mu         sync.Mutex
	thumbprint string            // of the account's key
	eab        string            // key id that the account was bound to
	state      map[string]string // of hosts: pending, valid, invalid
	issued     map[string][]byte // PEM, by host
	why        []string          // challenges that failed
}

func newAuthority(t *testing.T, address string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10000 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{address: address, key: key, root: root, state: map[string]string{}, issued: map[string][]byte{}}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

// roots trust the server.
func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate())
	return pool
}

// request is a JWS in its flattened form.
type request struct{ Protected, Payload string }

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	var jws request
	_ = json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&jws)
	payload, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	protected, _ := base64.RawURLEncoding.DecodeString(jws.Protected)
	w.Header().Set("Replay-Nonce", "bm9uY2U")
	w.Header().Set("Content-Type", "application/json")
	_, host, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	a.mu.Lock()
	defer a.mu.Unlock()
	switch kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); kind {
	case "directory":
		answer(w, 200, map[string]any{
			"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/new",
			"meta": map[string]any{"termsOfService": "https://example.org/terms", "externalAccountRequired": a.wantEAB},
		})
	case "nonce":
	case "account":
		a.account(w, protected, payload)
	case "new":
		var order struct{ Identifiers []struct{ Value string } }
		_ = json.Unmarshal(payload, &order)
		host = order.Identifiers[0].Value
		a.state[host] = "pending"
		w.Header().Set("Location", a.URL+"/order/"+host)
		a.order(w, 201, host)
	case "order":
		a.order(w, 200, host)
	case "authz":
		answer(w, 200, map[string]any{
			"status": a.state[host], "identifier": map[string]string{"type": "dns", "value": host},
			"challenges": []any{a.challenge(host, "http-01"), a.challenge(host, "tls-alpn-01")},
		})
	case "http-01", "tls-alpn-01":
		a.validate(host, kind)
		answer(w, 200, a.challenge(host, kind))
	case "finalize":
		a.finalize(w, host, payload)
	case "certificate":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = w.Write(a.issued[host])
	default:
		problem(w, "malformed", r.URL.Path)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func problem(w http.ResponseWriter, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	answer(w, 403, map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "detail": detail, "status": 403})
}

func (a *authority) account(w http.ResponseWriter, protected, payload []byte) {
	var header struct {
		JWK struct{ Crv, Kty, X, Y string }
	}
	var account struct {
		TermsOfServiceAgreed   bool
		ExternalAccountBinding *request
	}
	_ = json.Unmarshal(protected, &header)
	_ = json.Unmarshal(payload, &account)
	if !account.TermsOfServiceAgreed {
		problem(w, "userActionRequired", "agree to the terms")
		return
	}
	if account.ExternalAccountBinding != nil {
		var bound struct{ Kid string }
		raw, _ := base64.RawURLEncoding.DecodeString(account.ExternalAccountBinding.Protected)
		_ = json.Unmarshal(raw, &bound)
		a.eab = bound.Kid
	}
	if a.wantEAB && a.eab == "" {
		problem(w, "externalAccountRequired", "bind the account")
		return
	}
	k := header.JWK // RFC 7638 §3.2
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q,"y":%q}`, k.Crv, k.Kty, k.X, k.Y))
	a.thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	w.Header().Set("Location", a.URL+"/account/1")
	answer(w, 201, map[string]any{"status": "valid"})
}

func (a *authority) order(w http.ResponseWriter, status int, host string) {
	state := map[string]string{"pending": "pending", "valid": "ready", "invalid": "invalid"}[a.state[host]]
	body := map[string]any{
		"identifiers":    []any{map[string]string{"type": "dns", "value": host}},
		"authorizations": []string{a.URL + "/authz/" + host}, "finalize": a.URL + "/finalize/" + host,
	}
	if a.issued[host] != nil && state == "ready" {
		state = "valid"
		body["certificate"] = a.URL + "/certificate/" + host
	}
	body["status"] = state
	answer(w, status, body)
}

func (a *authority) challenge(host, kind string) map[string]any {
	c := map[string]any{"type": kind, "url": a.URL + "/" + kind + "/" + host, "token": token(host), "status": a.state[host]}
	if a.state[host] == "invalid" {
		c["error"] = map[string]any{"type": "urn:ietf:params:acme:error:unauthorized", "detail": strings.Join(a.why, "; ")}
	}
	return c
}

// token is what a host has to show.
func token(host string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("token of " + host))
}

func (a *authority) validate(host, kind string) {
	check := a.checkHTTP
	if kind == "tls-alpn-01" {
		check = a.checkTLS
	}
	a.state[host] = "valid"
	if err := check(host, token(host)+"."+a.thumbprint); err != nil {
		a.state[host] = "invalid"
		a.why = append(a.why, err.Error())
	}
}

func (a *authority) checkHTTP(host, want string) error {
	r, err := http.NewRequest(http.MethodGet, "http://"+a.address+"/.well-known/acme-challenge/"+token(host), nil)
	if err != nil {
		return err
	}
	r.Host = host
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	if err == nil && string(bytes.TrimSpace(got)) != want {
		err = fmt.Errorf("%s gave %q", host, got)
	}
	return err
}

func (a *authority) checkTLS(host, want string) error {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp", a.address, &tls.Config{ServerName: host, NextProtos: []string{alpn}, InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	cert := conn.ConnectionState().PeerCertificates[0]
	sum := sha256.Sum256([]byte(want))
	proof, _ := asn1.Marshal(sum[:])
	for _, e := range cert.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && bytes.Equal(e.Value, proof) && cert.VerifyHostname(host) == nil {
			return nil
		}
	}
	return fmt.Errorf("%s shows no proof: %v %v", host, cert.Extensions, proof)
}

func (a *authority) finalize(w http.ResponseWriter, host string, payload []byte) {
	var body struct{ CSR string }
	_ = json.Unmarshal(payload, &body)
	raw, _ := base64.RawURLEncoding.DecodeString(body.CSR)
	csr, err := x509.ParseCertificateRequest(raw)
	if err != nil || csr.CheckSignature() != nil || a.state[host] != "valid" || len(csr.DNSNames) != 1 || csr.DNSNames[0] != host {
		problem(w, "badCSR", "no")
		return
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: csr.DNSNames, Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2000 * time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.root, csr.PublicKey, a.key)
	if err != nil {
		problem(w, "serverInternal", err.Error())
		return
	}
	a.issued[host] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a.order(w, 200, host)
}

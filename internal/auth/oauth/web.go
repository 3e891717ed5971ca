package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// web asks a provider, within bounds.
type web struct {
	client  *http.Client
	turns   chan struct{} // of those who ask at the moment
	timeout time.Duration
	max     int64
}

// atOnce bounds how many requests run at once. Others wait, within their time.
const atOnce = 32

func newWeb(o Options) web {
	next := o.HTTP
	if next == nil {
		config := &tls.Config{}
		if o.TLS != nil {
			config = o.TLS.Clone()
		}
		config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
		next = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    o.Timeout,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    atOnce,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	return web{turns: make(chan struct{}, atOnce), timeout: o.Timeout, max: o.MaxAnswer, client: &http.Client{
		Transport: next,
		// It would carry our secret and a token to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ask sends what build makes and gives the body of an answer of status 200.
// Errors are outages, and have nothing of the answer but its status.
func (w web) ask(ctx context.Context, build func(context.Context) (*http.Request, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	select {
	case w.turns <- struct{}{}:
		defer func() { <-w.turns }()
	case <-ctx.Done():
		return nil, w.transport(ctx.Err())
	}
	req, err := build(ctx)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, w.transport(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &status{resp.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, w.max+1))
	if err != nil {
		return nil, w.transport(err)
	}
	if int64(len(body)) > w.max {
		return nil, fmt.Errorf("the answer has more than %d octets", w.max)
	}
	return body, nil
}

// get asks for a document.
func (w web) get(ctx context.Context, url string) ([]byte, error) {
	return w.ask(ctx, func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	})
}

// status is the error of an answer that is no success.
type status struct{ code int }

func (s *status) Error() string {
	switch {
	case s.code >= 300 && s.code <= 399:
		return "the provider redirects to another address, which is not followed; write down the one that answers" + s.suffix()
	case s.code == http.StatusNotFound || s.code == http.StatusMethodNotAllowed:
		return "the provider has nothing at this address; check it" + s.suffix()
	case s.code == http.StatusTooManyRequests:
		return "the provider was asked too often" + s.suffix()
	case s.code >= 500:
		return "the provider is out of order" + s.suffix()
	}
	return "the provider refuses to answer" + s.suffix()
}

func (s *status) suffix() string { return " (HTTP status " + strconv.Itoa(s.code) + ")" }

// outage is an error of the way to the provider, with a text that has nothing
// of the answer.
type outage struct {
	text  string
	cause error
}

func (o *outage) Error() string { return o.text }
func (o *outage) Unwrap() error { return o.cause }

// transport tells errors of the network and of TLS by their own texts. What
// else comes here is about the answer, and may quote it.
func (w web) transport(err error) error {
	var (
		timeout     interface{ Timeout() bool }
		operation   *net.OpError
		certificate *tls.CertificateVerificationError
		host        x509.HostnameError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return &outage{"given up", context.Canceled}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &outage{"the provider does not answer within " + w.timeout.String(), context.DeadlineExceeded}
	case errors.As(err, &host):
		return &outage{"the certificate is not that of " + strconv.QuoteToASCII(host.Host), nil}
	case errors.As(err, &certificate):
		return &outage{"the provider's certificate cannot be trusted: " + strconv.QuoteToASCII(certificate.Err.Error()), nil}
	case errors.As(err, &operation):
		return &outage{operation.Op + " " + operation.Net + ": " + strconv.QuoteToASCII(operation.Err.Error()), operation.Err}
	}
	return errors.New("the provider's answer cannot be read, or breaks off")
}

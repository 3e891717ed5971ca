package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/postwain/postwain/internal/fetch"
	"github.com/postwain/postwain/internal/fsx"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
)

// FetchAdvice says what to do about an error of a mailbox, or nothing if that
// is not known. It has no text from a server in it.
func FetchAdvice(err error) string {
	if refused, ok := errors.AsType[*pop3.Error](err); ok && !errors.Is(err, fetch.ErrSignIn) {
		if advice := busyAdvice[refused.Code]; advice != "" {
			return advice
		}
	}
	for _, a := range fetchAdvice {
		if errors.Is(err, a.err) {
			return a.text
		}
	}
	return networkAdvice(err)
}

var busyAdvice = map[pop3.Code]string{
	pop3.CodeInUse:      "another session has the mailbox; servers free it some minutes after a connection was lost; the next run tries again",
	pop3.CodeLoginDelay: "the server wants a longer pause between two sign-ins; fetch less often",
	pop3.CodeSysTemp:    "the server is out of order for a while; the next run tries again",
	pop3.CodeSysPerm:    "only those who run the server can help",
}

var fetchAdvice = []struct {
	err  error
	text string
}{
	{fetch.ErrSignIn, "check the user and the password; some providers want a password for applications, POP3 to be switched on, or OAuth 2"},
	{pop3client.ErrNoTLS, "nothing was sent in clear; try pops://, or plaintext if nobody can listen on the way"},
	{pop3client.ErrPlaintext, "nothing was sent; use pops://, or pop:// with STLS"},
	{pop3client.ErrDataBeforeTLS, "nothing was sent; somebody on the way may have tampered with the connection: try pops://"},
	{pop3client.ErrRevoked, "nothing was sent; those who run the server must renew its certificate, and somebody else may have its key"},
	{pop3client.ErrMechanism, "leave auth out, or name a mechanism that the server has"},
	{fetch.ErrLocked, "wait until the other one has ended; one is enough"},
	{maildrop.ErrFull, "make room, and run again; what was not stored is still on the server"},
	{fsx.ErrNoSpace, "make room, and run again; what was not stored is still on the server"},
	{syscall.ECONNREFUSED, "nothing listens at that port; pops:// is port 995 and pop:// port 110 unless the source says otherwise"},
	{context.Canceled, "it was told to stop; the next run goes on from there"},
	{context.DeadlineExceeded, slow},
	{os.ErrDeadlineExceeded, slow},
}

const slow = "the server, or the way to it, is too slow or silent; the next run tries again, and a longer timeout may help"

// networkAdvice is about errors that are types.
func networkAdvice(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "if you trust the server's own certificate, or its issuer's, give it as ca; nothing was sent"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "write the host by the name that its certificate has; nothing was sent"
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "those who run the server must renew its certificate, if the clock of this machine is right; nothing was sent"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "there is no TLS at that port; pops:// is for port 995, pop:// for 110"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return "check the spelling of the host"
		}
		return "this machine cannot look up names at the moment"
	}
	return ""
}

package obs

import (
	"context"
	"crypto/tls"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"strconv"
	"time"
)

// Client is what is logged of a connection.
type Client struct {
	Remote, Local netip.AddrPort       // after a PROXY header; zero: a Unix socket
	TLS           *tls.ConnectionState // nil: in clear
}

// Log tells of logins and sessions.
type Log struct {
	*slog.Logger
	seed maphash.Seed
}

// NewLog returns a Log that writes to l.
func NewLog(l *slog.Logger) *Log { return &Log{l, maphash.MakeSeed()} }

// AuthFailed tells of credentials that were refused. Its words and their order
// are public and stay as they are: other programs lock addresses out by this
// line (contrib/fail2ban). What is new goes into other lines.
func (l *Log) AuthFailed(c Client, user, method string) {
	l.LogAttrs(context.Background(), slog.LevelWarn, "pop3-login: auth failed",
		append([]slog.Attr{slog.Any("user", User(user)), slog.String("method", method)}, l.client(c)...)...)
}

// LoginRefused tells of a client that has proved who it is and did not get its
// mail, or whose proof could not be judged.
func (l *Log) LoginRefused(c Client, user, method string, holder netip.AddrPort, why error) {
	attrs := append([]slog.Attr{slog.Any("user", User(user)), slog.String("method", method)}, l.client(c)...)
	if holder.IsValid() {
		attrs = append(attrs, slog.String("holder", holder.String()))
	}
	l.LogAttrs(context.Background(), slog.LevelInfo, "pop3-login: not opened", append(attrs, slog.Any("reason", why))...)
}

// Session is a POP3 session that has ended.
type Session struct {
	Client                         Client
	User, Method                   string // empty: nobody signed in
	Retrieved, Tops, Deleted, Left int    // messages
	OctetsIn, OctetsOut            int64
	Duration                       time.Duration
	End                            string // why it ended
	Err                            error  // behind End; may be nil
}

// Session tells of a session, in one line.
func (l *Log) Session(s Session) {
	attrs := make([]slog.Attr, 0, 18)
	if s.User != "" {
		attrs = append(attrs, slog.Any("user", User(s.User)), slog.String("method", s.Method))
	}
	attrs = append(attrs, l.client(s.Client)...)
	if s.User != "" {
		attrs = append(attrs, slog.Int("retr", s.Retrieved), slog.Int("top", s.Tops), slog.Int("del", s.Deleted), slog.Int("left", s.Left))
	}
	attrs = append(attrs, slog.Int64("in", s.OctetsIn), slog.Int64("out", s.OctetsOut),
		slog.Duration("duration", s.Duration), slog.String("end", s.End))
	if s.Err != nil {
		attrs = append(attrs, slog.Any("error", s.Err))
	}
	l.LogAttrs(context.Background(), slog.LevelInfo, "pop3: session", attrs...)
}

// client gives the attributes that every line about a client has.
func (l *Log) client(c Client) []slog.Attr {
	version := "none"
	if c.TLS != nil {
		version = versionName(c.TLS.Version)
	}
	return []slog.Attr{
		slog.String("rip", address(c.Remote)), slog.Int("rport", int(c.Remote.Port())),
		slog.String("lip", address(c.Local)), slog.String("tls", version), slog.String("session", l.id(c)),
	}
}

func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return "unix"
	}
	return a.Addr().String()
}

func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return "0x" + strconv.FormatUint(uint64(v), 16)
}

// id is the same in all lines about a connection.
func (l *Log) id(c Client) string {
	return strconv.FormatUint(maphash.Comparable(l.seed, [2]netip.AddrPort{c.Remote, c.Local}), 36)
}

package daemon

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/postwain/postwain/internal/auth"
	"github.com/postwain/postwain/internal/listen"
	"github.com/postwain/postwain/internal/lmtp"
	"github.com/postwain/postwain/internal/obs"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

func client(p pop3server.Peer) obs.Client {
	return obs.Client{Remote: p.Remote, Local: p.Local, TLS: p.TLS}
}

// popTrace logs what happens in POP3 sessions.
func popTrace(log *obs.Log, limiter *listen.Limiter) pop3server.Trace {
	busy := new(pace)
	return pop3server.Trace{
		Login: func(p pop3server.Peer, l pop3server.Login) {
			l.User = tried(l.User, l.Err)
			switch {
			case l.Err == nil:
				limiter.SignedIn(p.Remote, p.Local)
			case errors.Is(l.Err, sasl.ErrRefused):
				log.AuthFailed(client(p), l.User, l.Mechanism)
			default:
				log.LoginRefused(client(p), l.User, l.Mechanism, l.Holder.Remote, l.Err)
			}
		},
		SessionEnd: func(s pop3server.Summary) {
			if errors.Is(s.Err, net.ErrClosed) { // by the limiter
				s.Reason, s.Err = "evicted", nil
			}
			log.Session(obs.Session{
				Client: client(s.Peer), User: s.Account, Method: s.Mechanism,
				Retrieved: s.Retrieved, Tops: s.Tops, Deleted: s.Deleted, Left: s.Left,
				OctetsIn: s.OctetsIn, OctetsOut: s.OctetsOut,
				Duration: s.Duration, End: string(s.Reason), Err: s.Err,
			})
		},
		SizeMismatch: func(account, uid string, announced, sent int64) {
			log.Warn("pop3: a message had another size than was announced",
				"user", obs.User(account), "uid", uid, "announced", announced, "sent", sent)
		},
		Fault: func(p pop3server.Peer, account string, err error) {
			if errors.Is(err, sasl.ErrBusy) { // as many as there are guessers
				if more, now := busy.due(); now {
					log.Warn("pop3-login: too many logins at once", "rip", p.Remote.String(), "more", more)
				}
				return
			}
			log.Error("pop3: fault", "user", obs.User(tried(account, err)), "rip", p.Remote.String(), "error", err)
		},
		Panic: func(p pop3server.Peer, value any, stack []byte) {
			log.Error("pop3: panic in a session", "rip", p.Remote.String(), "error", value, "stack", obs.Stack(stack))
		},
	}
}

// tried is the name of a login, which may be known from its error only.
func tried(user string, err error) string {
	if user != "" {
		return user
	}
	if f, ok := errors.AsType[*auth.Failure](err); ok {
		return f.User
	}
	if o, ok := errors.AsType[*opening](err); ok {
		return o.account
	}
	return ""
}

// lmtpTrace logs what becomes of mail.
func lmtpTrace(log *obs.Log) lmtp.Trace {
	return lmtp.Trace{
		Recipient: func(r lmtp.Result) {
			if r.Err == nil {
				log.Info("lmtp: delivered", "peer", peer(r.Peer), "to", obs.User(r.To), "user", obs.User(r.Account), "from", obs.User(r.From),
					"size", r.Size, "id", r.ID)
				return
			}
			log.Warn("lmtp: refused", "peer", peer(r.Peer), "to", obs.User(r.To), "from", obs.User(r.From), "size", r.Size, "code", r.Code,
				"error", r.Err, "id", r.ID)
		},
		Accept: func(err error) { log.Warn("lmtp: connection not accepted", "error", err) },
	}
}

// peer names the other end of a connection; those of Unix sockets have no name.
func peer(a net.Addr) string {
	if a == nil || a.Network() == "unix" {
		return "unix"
	}
	return a.String()
}

// refusals logs connections that were closed at the door: the first at once,
// the others as a number, so that a flood is no flood of lines.
type refusals struct {
	log *obs.Log
	pace
}

func (r *refusals) tell(remote net.Addr, why error) {
	if more, now := r.due(); now {
		r.log.Warn("connection refused", "peer", peer(remote), "error", why, "more", more)
	}
}

// pace is that of lines that strangers can bring about.
type pace struct {
	mu     sync.Mutex
	next   time.Time
	silent int
}

// logPause is the time between two such lines.
const logPause = 10 * time.Second

// due reports whether it is time for a line, and how many there were none for.
func (p *pace) due() (more int, now bool) {
	t := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.Before(p.next) {
		p.silent++
		return 0, false
	}
	more = p.silent
	p.silent, p.next = 0, t.Add(logPause)
	return more, true
}

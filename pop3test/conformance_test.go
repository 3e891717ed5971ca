package pop3test_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/postwain/postwain/internal/testkit"
	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

// anyone lets everybody in who has a name.
type anyone struct{}

func (anyone) Authenticate(_ context.Context, l sasl.Login) (string, error) { return l.User, nil }

// remote is a store whose maildrops are on a server, behind pop3client.
type remote struct {
	listener *testkit.Listener
	options  pop3client.Options
}

func (r remote) DialContext(context.Context, string, string) (net.Conn, error) {
	return r.listener.Dial()
}

func (r remote) Open(ctx context.Context, account string) (maildrop.Box, error) {
	o := r.options
	o.Dialer = r
	c, err := pop3client.Dial(ctx, "mail.example.org:110", pop3client.Plaintext, o)
	if err != nil {
		return nil, err
	}
	err = c.SignIn(ctx, pop3client.Credentials{User: account, Password: "secret", Plaintext: true})
	if err != nil {
		c.Close()
	}
	var refused *pop3.Error
	switch {
	case err == nil:
		return pop3client.Open(ctx, c)
	case errors.As(err, &refused) && refused.Code == pop3.CodeInUse:
		return nil, fmt.Errorf("%w: %w", maildrop.ErrInUse, err)
	case errors.Is(err, pop3client.ErrArgument) || account == "":
		return nil, fmt.Errorf("%w: %w", maildrop.ErrNoDrop, err)
	}
	return nil, err
}

// The remote mailbox of a client is a Box like every other, whether commands
// are pipelined or not.
func TestBoxOverTheWire(t *testing.T) {
	t.Parallel()
	for name, serial := range map[string]bool{"pipelined": false, "serial": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			maildroptest.Test(t, func(t testing.TB) maildroptest.Mail {
				store := memdrop.New()
				l := testkit.Listen()
				srv := pop3server.NewServer(pop3server.Options{Backend: pop3server.New(anyone{}, store), InsecureAuth: true})
				done := make(chan struct{})
				go func() {
					defer close(done)
					srv.Serve(l)
				}()
				t.Cleanup(func() {
					srv.Close()
					<-done
				})
				return maildroptest.Mail{
					Store:     remote{l, pop3client.Options{Serial: serial}},
					Deliverer: store,
					NoTimes:   true,
				}
			})
		})
	}
}

package pop3client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"slices"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
	"github.com/postwain/postwain/pop3client"
	"github.com/postwain/postwain/pop3test"
)

// exampleTB is what a test has in its *testing.T.
type exampleTB struct{ cleanups []func() }

func (*exampleTB) Helper()            {}
func (*exampleTB) Fatal(args ...any)  { log.Fatal(args...) }
func (e *exampleTB) Cleanup(f func()) { e.cleanups = append(e.cleanups, f) }

func (e *exampleTB) end() {
	for _, f := range slices.Backward(e.cleanups) {
		f()
	}
}

// mailServer is a server with two messages for alice.
func mailServer() (s *pop3test.Server, end func()) {
	tb := &exampleTB{}
	s = pop3test.NewServer(tb)
	s.AddAccount("alice", "wonderland")
	s.Deliver("alice", "Subject: tea\r\n\r\nAt six?\r\n")
	s.Deliver("alice", "Subject: re: tea\r\n\r\nMake it seven.\r\n")
	return s, tb.end
}

// All messages are read and then deleted.
func Example() {
	server, end := mailServer()
	defer end()

	ctx := context.Background()
	c, err := pop3client.Dial(ctx, server.TLSAddr, pop3client.TLS, pop3client.Options{
		TLS: server.ClientConfig(), // nil would be the system's roots
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.SignIn(ctx, pop3client.Credentials{User: "alice", Password: "wonderland"}); err != nil {
		log.Fatal(err)
	}
	list, err := c.UIDL(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var done []int
	for m, err := range c.Messages(ctx, slices.Values(list)) {
		if err != nil {
			log.Fatal(err)
		}
		text, err := io.ReadAll(m)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %q\n", m.Number, text)
		done = append(done, m.Number)
	}
	for _, n := range done {
		if err := c.Dele(ctx, n); err != nil {
			log.Fatal(err)
		}
	}
	if err := c.Quit(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("left:", len(server.Mail("alice")))
	// Output:
	// 1: "Subject: tea\r\n\r\nAt six?\r\n"
	// 2: "Subject: re: tea\r\n\r\nMake it seven.\r\n"
	// left: 0
}

// Each message is marked as deleted as soon as it is safe, while the next ones
// are on their way.
func ExampleClient_Pipeline() {
	server, end := mailServer()
	defer end()

	ctx := context.Background()
	c, err := pop3client.Dial(ctx, server.Addr, pop3client.STLS, pop3client.Options{TLS: server.ClientConfig()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.SignIn(ctx, pop3client.Credentials{User: "alice", Password: "wonderland"}); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Capabilities(ctx); err != nil { // says whether commands may be pipelined
		log.Fatal(err)
	}
	list, err := c.List(ctx)
	if err != nil {
		log.Fatal(err)
	}
	p := c.Pipeline(pop3client.Window{})
	for _, l := range list {
		p.Retr(l.Number, l.Size)
	}
	for {
		reply, err := p.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if reply.Err != nil {
			fmt.Println(reply.Err) // of this message alone
			continue
		}
		if reply.Verb == pop3.Retr {
			n, err := io.Copy(io.Discard, reply.Body) // store it
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("message", reply.Number, "has", n, "octets")
			p.Dele(reply.Number)
		}
	}
	if err := c.Quit(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("left:", len(server.Mail("alice")))
	// Output:
	// message 1 has 25 octets
	// message 2 has 36 octets
	// left: 0
}

// A refusal has a code that a program can act on.
func ExampleClient_SignIn() {
	server, end := mailServer()
	defer end()

	ctx := context.Background()
	c, err := pop3client.Dial(ctx, server.TLSAddr, pop3client.TLS, pop3client.Options{TLS: server.ClientConfig()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	err = c.SignIn(ctx, pop3client.Credentials{User: "alice", Password: "looking-glass"})
	var refused *pop3.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.Temporary())
	}
	fmt.Println(err)
	// Output:
	// AUTH false
	// pop3client: AUTH PLAIN: [AUTH] Wrong name or password
}

// The mailbox as a maildrop.Box.
func ExampleOpen() {
	server, end := mailServer()
	defer end()

	ctx := context.Background()
	c, err := pop3client.Dial(ctx, server.TLSAddr, pop3client.TLS, pop3client.Options{TLS: server.ClientConfig()})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.SignIn(ctx, pop3client.Credentials{User: "alice", Password: "wonderland"}); err != nil {
		log.Fatal(err)
	}
	box, err := pop3client.Open(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	defer box.Close()
	for i, m := range box.Messages() {
		fmt.Println(i, m.UID, m.Size)
	}
	switch err := box.Commit(ctx, []int{0}); {
	case errors.Is(err, maildrop.ErrUnknownOutcome):
		fmt.Println("the answer to QUIT was lost")
	case err != nil:
		log.Fatal(err)
	}
	fmt.Println("left:", len(server.Mail("alice")))
	// Output:
	// 0 1 25
	// 1 2 36
	// left: 1
}

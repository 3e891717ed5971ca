package pop3server_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
	"github.com/postwain/postwain/pop3server"
	"github.com/postwain/postwain/sasl"
)

// oneUser knows alice.
type oneUser struct{}

func (oneUser) Authenticate(_ context.Context, l sasl.Login) (string, error) {
	if l.User != "alice" || l.Password != "wonderland" {
		return "", sasl.ErrRefused
	}
	return "alice", nil
}

// A server for one user whose mail is in memory, and what a client sees of it.
func Example() {
	store := memdrop.New()
	mail := strings.NewReader("Subject: tea\n\nAt six?\n")
	if err := store.Deliver(context.Background(), "alice", maildrop.Incoming{}, mail); err != nil {
		log.Fatal(err)
	}
	srv := pop3server.NewServer(pop3server.Options{
		Backend:  pop3server.New(oneUser{}, store),
		Hostname: "mail.example.org",
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "USER alice\r\nPASS wonderland\r\nRETR 1\r\nQUIT\r\n")
	for in := bufio.NewScanner(c); in.Scan(); {
		fmt.Println(in.Text())
	}
	if err := srv.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// +OK mail.example.org POP3 ready
	// +OK Now the password
	// +OK Maildrop open
	// +OK 25 octets
	// Subject: tea
	//
	// At six?
	// .
	// +OK Goodbye
}

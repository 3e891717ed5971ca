package pop3test_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"log"
	"slices"

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

// A server, and what a client that is under test may do.
func ExampleNewServer() {
	t := &exampleTB{} // in a test: the *testing.T
	defer t.end()

	s := pop3test.NewServer(t)
	s.AddAccount("alice", "wonderland")
	s.Deliver("alice", "Subject: tea\r\n\r\nAt six?\r\n")
	s.Deliver("alice", "Subject: re: tea\r\n\r\nMake it seven.\r\n")

	c, err := tls.Dial("tcp", s.TLSAddr, s.ClientConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "USER alice\r\nPASS wonderland\r\nDELE 1\r\nQUIT\r\n")
	for in := bufio.NewScanner(c); in.Scan(); {
		fmt.Println(in.Text())
	}
	fmt.Printf("%q\n", s.Mail("alice"))
	// Output:
	// +OK localhost POP3 ready
	// +OK Now the password
	// +OK Maildrop open
	// +OK Marked for removal
	// +OK Goodbye
	// ["Subject: re: tea\r\n\r\nMake it seven.\r\n"]
}

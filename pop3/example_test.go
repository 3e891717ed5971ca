package pop3_test

import (
	"fmt"
	"strings"

	"github.com/postwain/postwain/pop3"
)

func ExampleReader() {
	r := pop3.NewReader(strings.NewReader("retr 2\r\nPASS two  words \r\n"))
	for {
		c, err := r.Command()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v %q\n", c.Verb, c.Arg)
	}
	// Output:
	// RETR "2"
	// PASS "two  words "
	// EOF
}

func ExampleWriter() {
	var out strings.Builder
	w := pop3.NewWriter(&out)
	w.OK().Int(2).Int(320).End()
	w.Err(pop3.CodeInUse).Text("Another session\r\n+OK has this maildrop").End()
	w.OK().Text("1 message").End()
	w.Message(strings.NewReader("Subject: dots\n\n.signature"), -1)
	w.Flush()
	fmt.Print(strings.ReplaceAll(out.String(), "\r", ""))
	// Output:
	// +OK 2 320
	// -ERR [IN-USE] Another session??+OK has this maildrop
	// +OK 1 message
	// Subject: dots
	//
	// ..signature
	// .
}

func ExampleParseURL() {
	u, err := pop3.ParseURL("pops://alice%40example.org;AUTH=PLAIN@mail.example.org")
	fmt.Println(u.User, u.Auth, u.Addr(), err)
	// Output: alice@example.org PLAIN mail.example.org:995 <nil>
}

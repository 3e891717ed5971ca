package memdrop_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/memdrop"
)

func Example() {
	ctx := context.Background()
	s := memdrop.New()
	mail := "Subject: hello\r\n\r\nHow are you?\r\n"
	if err := s.Deliver(ctx, "alice", maildrop.Incoming{}, strings.NewReader(mail)); err != nil {
		fmt.Println(err)
	}

	box, err := s.Open(ctx, "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer box.Close()
	for i, m := range box.Messages() {
		fmt.Printf("message %d has %d octets\n", i+1, m.Size)
		r, err := box.Get(ctx, i, -1)
		if err != nil {
			fmt.Println(err)
			return
		}
		mail, err := io.ReadAll(r)
		r.Close()
		fmt.Printf("%q %v\n", mail, err)
	}
	if err := box.Commit(ctx, []int{0}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// message 1 has 32 octets
	// "Subject: hello\r\n\r\nHow are you?\r\n" <nil>
}

package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/postwain/postwain/test/rig"
)

// bigMessage is the octets of what clients who never read ask for.
const bigMessage = 8 << 20

func deafUser(i int) string { return rig.Account(fmt.Sprintf("deaf%d", i)) }

// furnish makes the accounts of n clients who never read.
func furnish(space *rig.Space, n int) error {
	text := append([]byte("Subject: big\n\n"), bytes.Repeat([]byte(strings.Repeat("x", 75)+"\n"), bigMessage/76)...)
	for i := range n {
		dir := space.Maildir(deafUser(i))
		if err := errors.Join(space.AddAccounts(deafUser(i)), rig.MakeMaildir(dir)); err != nil {
			return err
		}
		path := filepath.Join(dir, "new", "1.M1P1.host")
		if err := errors.Join(os.WriteFile(path, text, 0o600), rig.Own(path)); err != nil {
			return err
		}
	}
	return nil
}

// stopEars has n clients sign in, ask for their message again and again, and
// never read.
func stopEars(ctx context.Context, n int, address string) (c *crowd, err error) {
	c = &crowd{}
	defer func() {
		if err != nil {
			c.leave()
		}
	}()
	for i := range n {
		conn, err := arrive(ctx, net.IPv4(127, 0, 3, byte(1+i)), address, nil)
		if err != nil {
			return c, err
		}
		c.conns = append(c.conns, conn)
		if _, err := io.WriteString(conn, "USER "+deafUser(i)+"\r\nPASS "+rig.Password+"\r\n"+strings.Repeat("RETR 1\r\n", 20)); err != nil {
			return c, err
		}
	}
	return c, nil
}

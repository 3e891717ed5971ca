package pop3client

import (
	"bytes"
	"strings"

	"github.com/postwain/postwain/pop3"
)

// Trace is told what goes over the wire, line by line and without line ends:
// commands, status lines and the rows of listings, but no messages. Passwords,
// digests and responses are masked, and what a terminal would obey is escaped.
// Fields that are nil are not called.
type Trace struct {
	Sent     func(line string)
	Received func(line string)
}

// masked stands for what nobody may see.
const masked = "***"

// maxShown is how many octets of a line that makes no sense an error shows,
// and maxTraced how many a trace.
const maxShown, maxTraced = 80, 1024

// show quotes the beginning of a line of the server's.
func (c *Client) show(line []byte) string {
	text := c.secrets.hide(string(bytes.TrimRight(line, "\r\n")))
	return `"` + pop3.Printable(text, maxShown) + `"`
}

// trace tells that what is in c.out is sent.
func (c *Client) trace(shown string) {
	if c.opt.Trace == nil || c.opt.Trace.Sent == nil {
		return
	}
	if shown != "" {
		c.opt.Trace.Sent(pop3.Printable(c.secrets.hide(shown), maxTraced))
		return
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(c.out), "\r\n"), "\r\n") {
		c.opt.Trace.Sent(pop3.Printable(c.secrets.hide(line), maxTraced))
	}
}

func (c *Client) traceReceived(line []byte) {
	if c.opt.Trace != nil && c.opt.Trace.Received != nil {
		c.opt.Trace.Received(pop3.Printable(c.secrets.hide(string(line)), maxTraced))
	}
}

// secrets are what is being signed in with, in every form in which it is sent:
// a server may say it back.
type secrets []string

// hide masks the secrets in a text.
func (s secrets) hide(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, masked)
	}
	return text
}

// refusal is the error that a reply of -ERR is.
func (c *Client) refusal(r pop3.Reply) *pop3.Error {
	if len(c.secrets) > 0 {
		r.Text = []byte(c.secrets.hide(string(r.Text)))
	}
	return r.Err()
}

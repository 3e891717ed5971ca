package pop3client

import (
	"context"
	"strings"

	"github.com/postwain/postwain/pop3"
)

// Language asks the server for its texts in a language, a tag such as "fr" or
// "*" for its own choice (RFC 6856 §3). The error is ErrNotAnnounced if the
// server does not announce LANG in this state.
func (c *Client) Language(ctx context.Context, tag string) error {
	s := command(pop3.Lang)
	if !sendable(tag) || strings.IndexByte(tag, ' ') >= 0 {
		return s.wrap(ErrArgument)
	}
	if err := c.need(ctx, s, pop3.CapLang); err != nil {
		return err
	}
	c.out = append(c.out[:0], "LANG "+tag+"\r\n"...)
	return c.single(ctx, s, "")
}

// UTF8 says before the login that messages with UTF-8 in their headers may come
// (RFC 6856 §2). The error is ErrNotAnnounced if the server does not announce
// UTF8: servers are known to hang up at a command that they do not know.
func (c *Client) UTF8(ctx context.Context) error {
	s := command(pop3.Utf8)
	if err := c.need(ctx, s, pop3.CapUTF8); err != nil {
		return err
	}
	_, err := c.simple(ctx, s)
	return err
}

// need makes sure that the server announces what is asked of it.
func (c *Client) need(ctx context.Context, s step, name string) error {
	if _, err := c.Capabilities(ctx); err != nil {
		return err
	}
	if !c.announced(name) {
		return s.wrap(ErrNotAnnounced)
	}
	return nil
}

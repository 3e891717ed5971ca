package krb

import (
	"encoding/binary"
	"errors"
)

var errTruncated = errors.New("file is truncated or damaged")

// cursor reads the numbers and counted strings, in network order, of keytabs
// and credential caches. After a fault everything is zero and err is set.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) take(n int64) []byte {
	if c.err != nil || n < 0 || n > int64(len(c.rest)) {
		c.err = errTruncated
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) u8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// short and long give a string behind its length of 16 or 32 bits.
func (c *cursor) short() []byte { return c.take(int64(c.u16())) }
func (c *cursor) long() []byte  { return c.take(int64(c.u32())) }

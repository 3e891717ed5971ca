package maildir

import "bytes"

// counter counts the octets that a client will hold of a message that comes in
// parts, exactly as maildrop.Octets does, and the bytes themselves.
type counter struct {
	bytes    int64
	bare     int64 // LF without a CR before it
	open, cr bool  // the last byte is no LF; it is a CR
}

func (c *counter) add(p []byte) {
	if len(p) == 0 {
		return
	}
	c.bytes += int64(len(p))
	c.bare += int64(bytes.Count(p, []byte{'\n'}))
	if c.cr && p[0] == '\n' {
		c.bare--
	}
	if bytes.IndexByte(p, '\r') >= 0 {
		c.bare -= int64(bytes.Count(p, []byte("\r\n")))
	}
	last := p[len(p)-1]
	c.open, c.cr = last != '\n', last == '\r'
}

func (c *counter) octets() int64 {
	if c.open {
		return c.bytes + c.bare + 2
	}
	return c.bytes + c.bare
}

// unixLines turns CRLF into LF, the line end that all who share a Maildir
// expect, and leaves the wire form of the message as it is: an LF goes out as
// CRLF again. A CRLF behind another CR stays, for only as it is will it come
// out with both. So does a CR that no LF follows.
type unixLines struct {
	held bool // a single CR at the end of the part before: an LF may follow
	cr   bool // the part before ended in several CRs, which went out
}

// convert works in place on p[1:], the next part of the message; p[0] is room
// for the CR that was held back.
func (u *unixLines) convert(p []byte) []byte {
	if u.held {
		p[0] = '\r'
	} else {
		p = p[1:]
	}
	if len(p) == 0 {
		return p
	}
	last := len(p) - 1
	cr := p[last] == '\r'
	if u.held = cr && !u.crAt(p, last-1); u.held {
		p = p[:last]
	}
	out, in := 0, 0
	for in < len(p) {
		end := bytes.IndexByte(p[in:], '\n')
		if end < 0 {
			out += copy(p[out:], p[in:])
			break
		}
		end += in
		next := end + 1
		if end > in && p[end-1] == '\r' && !u.crAt(p, end-2) {
			end--
		}
		out += copy(p[out:], p[in:end])
		p[out] = '\n'
		out++
		in = next
	}
	u.cr = cr && !u.held
	return p[:out]
}

// crAt says whether there is a CR at p[i], where -1 is the octet before p.
func (u *unixLines) crAt(p []byte, i int) bool {
	if i < 0 {
		return u.cr
	}
	return p[i] == '\r'
}

// end gives what was held back when the message has ended.
func (u *unixLines) end() []byte {
	if u.held {
		u.held = false
		return []byte{'\r'}
	}
	return nil
}

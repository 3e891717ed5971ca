package fetch

import (
	"errors"
	"net/netip"
	"strings"
	"time"
)

// check makes sure that each value is a part of one line.
func (h *Header) check() error {
	if h.Received && h.By == "" {
		return errors.New("a Received line needs the name of this machine")
	}
	for _, value := range []string{h.By, h.DeliveredTo} {
		if len(value) > 500 {
			return errors.New("a header value has more than 500 octets")
		}
		if !oneLine(value) {
			return errors.New("a header value has a control character in it")
		}
	}
	return nil
}

func oneLine(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7F })
}

// lines gives what is put in front of a message: fields that end in CRLF
// (RFC 5322 §3.6.7).
func (h *Header) lines(host string, tls bool, now time.Time) []byte {
	var b []byte
	if h.DeliveredTo != "" {
		b = append(b, "Delivered-To: "+h.DeliveredTo+"\r\n"...)
	}
	if h.Received {
		b = append(b, "Received: from "+hostWord(host)+"\r\n\tby "+h.By+" with POP3"...)
		if tls {
			b = append(b, 'S')
		}
		b = append(b, ";\r\n\t"...)
		b = now.AppendFormat(b, "Mon, 2 Jan 2006 15:04:05 -0700")
		b = append(b, "\r\n"...)
	}
	return b
}

// hostWord gives a host as RFC 5321 §4.1.3 wants it, and nothing that is none.
func hostWord(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip = ip.Unmap().WithZone(""); ip.Is6() {
			return "[IPv6:" + ip.String() + "]"
		}
		return "[" + ip.String() + "]"
	}
	b := []byte(host[:min(len(host), 255)])
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c >= 0x80:
		default:
			b[i] = '?'
		}
	}
	return string(b)
}

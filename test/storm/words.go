package storm

import (
	"math/rand/v2"
	"strconv"
)

// words is a grammar of what comes over the wire, sense and nonsense.
type words struct {
	rand.PCG
	rand *rand.Rand
	text []byte
}

func (w *words) pick(list ...string) string { return list[w.rand.IntN(len(list))] }

// number is one that a parser may mistake.
func (w *words) number() string {
	if w.rand.IntN(3) > 0 {
		return strconv.Itoa(w.rand.IntN(5))
	}
	return w.pick("0", "-1", "+1", "01", "1e3", "2147483648", "9223372036854775808", "18446744073709551617",
		"99999999999999999999999999999999", " 1", "1 ", "1\t", "١", "")
}

func (w *words) end() string {
	if w.rand.IntN(8) > 0 {
		return "\r\n"
	}
	return w.pick("\n", "\r", "\r\r\n", "\n\r", "", "\x00\r\n", "\r\n\r\n", " \r\n")
}

// octets are a few of any kind.
func (w *words) octets(most int) string {
	b := make([]byte, w.rand.IntN(most+1))
	for i := range b {
		switch w.rand.IntN(4) {
		case 0:
			b[i] = byte(w.rand.IntN(256))
		case 1:
			b[i] = "\r\n. \x00\t\\\"<>@="[w.rand.IntN(12)]
		default:
			b[i] = byte('a' + w.rand.IntN(26))
		}
	}
	return string(b)
}

// filler is a long run of one octet, near the limits of lines.
func (w *words) filler() string {
	n := []int{253, 254, 255, 256, 510, 511, 512, 513, 1024, 4095, 4096, 4097}[w.rand.IntN(12)]
	b := make([]byte, n)
	c := "x .\r="[w.rand.IntN(5)]
	for i := range b {
		b[i] = c
	}
	return string(b)
}

// message is a small message with the ends of lines that trouble a codec.
func (w *words) message() []byte {
	b := w.text[:0]
	for range w.rand.IntN(12) {
		switch w.rand.IntN(8) {
		case 0:
			b = append(b, w.octets(20)...)
		case 1:
			b = append(b, w.filler()...)
		default:
			b = append(b, w.pick("\r\n", "\n", "\r", ".", "..", ".\r\n", "a", "From x\n", "\r\n.\r\n", "\n.\n", "Subject: x\r\n", "\x00", "\xff")...)
		}
	}
	w.text = b
	return b
}

// mutated is s, in one of four with an octet changed, taken out or put in.
func (w *words) mutated(s string) string {
	if len(s) == 0 || w.rand.IntN(4) > 0 {
		return s
	}
	i := w.rand.IntN(len(s))
	switch w.rand.IntN(3) {
	case 0:
		return s[:i] + string(byte(w.rand.IntN(256))) + s[i+1:]
	case 1:
		return s[:i] + s[i+1:]
	}
	return s[:i] + w.octets(3) + s[i:]
}

// command is a line of a POP3 client.
func (w *words) command() string {
	verb := w.pick("USER", "PASS", "APOP", "AUTH", "CAPA", "STLS", "STAT", "LIST", "RETR", "DELE", "NOOP", "RSET",
		"TOP", "UIDL", "UTF8", "LANG", "LAST", "XTND", "ſtlſ", "user", "rEtR")
	switch w.rand.IntN(8) {
	case 0:
		return w.octets(40) + w.end()
	case 1:
		verb += " " + w.filler()
	case 2, 3, 4:
		verb += " " + w.number()
	case 5:
		verb += " " + w.number() + " " + w.number()
	case 6:
		verb += " " + w.pick("alice", "secret", "PLAIN", "PLAIN AGFsaWNlAHNlY3JldA==", "LOGIN", "*", "=", "en", "USER")
	}
	return w.mutated(verb) + w.end()
}

// posting is a command of an LMTP client, or a chunk or message behind one.
func (w *words) posting() string {
	switch w.rand.IntN(10) {
	case 0:
		return w.mutated("DATA") + w.end() + string(w.message()) + w.pick("\r\n.\r\n", "\n.\n", ".\r\n", "\r\n.\n", "")
	case 1:
		m := string(w.message())
		size := strconv.Itoa(len(m))
		if w.rand.IntN(4) == 0 {
			size = w.number()
		}
		return "BDAT " + size + w.pick("", " LAST", " LAST LAST", " last") + w.end() + m
	case 2:
		return w.octets(40) + w.end()
	}
	return w.mutated(w.pick("LHLO mx.example.org", "MAIL FROM:<a@example.org>", "MAIL FROM:<>", "MAIL FROM:<a> SIZE=10",
		"MAIL FROM:<a> SMTPUTF8 BODY=8BITMIME", "RCPT TO:<alice>", "RCPT TO:<bob@example.org>", `RCPT TO:<"a b"@x>`,
		"RCPT TO:<|cmd>", "RSET", "NOOP", "QUIT", "HELP", "VRFY alice", "EHLO x", "MAIL FROM:<"+w.filler()+">")) + w.end()
}

// answer is a reply of a POP3 server, with the lines that may follow it.
func (w *words) answer() string {
	first := w.mutated(w.pick("+OK", "+OK", "+OK ", "-ERR", "-ERR [AUTH] no", "-ERR [SYS/TEMP] later", "+OK 2 320", "+ ", "+OK <1.2@x>",
		"+OK "+w.number()+" "+w.number(), w.octets(30))) + w.end()
	if w.rand.IntN(2) == 0 {
		return first
	}
	for range w.rand.IntN(5) {
		first += w.mutated(w.pick(w.number()+" "+w.number(), w.number()+" "+w.octets(8), "PIPELINING", "SASL PLAIN LOGIN", "..", "a", "")) + w.end()
	}
	return first + w.pick(".\r\n", ".\r\n", ".\r\n", ".\n", "")
}

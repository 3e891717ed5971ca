package maildroptest

import (
	"strings"
)

// corpus are messages that break a store which counts, stores or ends them
// carelessly. Each differs from the others as a client holds it.
func corpus() []string {
	c := []string{
		"",
		"\n",
		"\r",
		"\x00",
		".",
		"..",
		".\r\n",
		"\r\n.\r\n",
		"a\n.\nb\n",
		"a\r\n..\r\n.b\r\n",
		"no end",
		"no end\r",
		"two CR\r\r\n",
		"two CR, no end\r\r",
		"\rCR at the start\n",
		"CR\rinside\n",
		"LF CR\n\rswapped",
		"mixed\r\nline\nends\r\n",
		"\n\n\n",
		"\r\n\r\n\r\n\r\n",
		"\r\r\r",
		"NUL\x00 in\x00 a line\n\x00\n",
		"Subject: header only\n",
		"Subject: header only, no end",
		"Subject: no body\n\n",
		"Subject: empty line only\r\n\r\n\r\n",
		"\nbody only\n",
		"Subject: CR line\n\r\r\nbody\n",
		"Subject: 8 bit \xff\xfe\x80\n\n\xc3\xa4\xc3 \xf0\x9f\x93\xac\n",
		"From somebody Thu Jan  1 00:00:00 1970\nSubject: mbox\n\nFrom here\n>From there\n",
		"Subject: control\x1a\x04\x03\n\n\x1b[2J\x7f\n",
		"\xef\xbb\xbfSubject: byte order mark\n\nx\n",
		"+OK\r\n-ERR\r\n.\r\nQUIT\r\n",
		"Subject: dots\r\n\r\n" + strings.Repeat(".\r\n", 100),
		"Subject: one long line\n\n" + strings.Repeat("x", 200_000) + "\n",
		strings.Repeat("\n", 5000),
		strings.Repeat("\r\n", 5001),
		strings.Repeat("\r", 5000),
	}
	// CR LF and its halves around the sizes that buffers have.
	for _, size := range []int{512, 1024, 4096, 8192, 32 << 10, 64 << 10} {
		for shift := -2; shift <= 1; shift++ {
			pad := strings.Repeat("y", size+shift)
			c = append(c, pad+"\r\nz\r\n", pad+"\n.\nz", pad+"\r")
		}
	}
	return c
}

// small are all texts of up to n octets of {a . CR LF}.
func small(n int) []string {
	texts := []string{""}
	for from := 0; n > 0; n-- {
		to := len(texts)
		for _, t := range texts[from:to] {
			for _, c := range "a.\r\n" {
				texts = append(texts, t+string(c))
			}
		}
		from = to
	}
	return texts
}

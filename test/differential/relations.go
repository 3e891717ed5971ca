package differential

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// relations are such as hold whatever the mail is, without a model: the sum of
// LIST is STAT, DELE and RSET change nothing, TOP of all lines is RETR, and RETR
// has the size that LIST says.
func (t trial) relations(m mail, count int) (wrong string, err error) {
	look := []string{"STAT\r\n", "LIST\r\n", "UIDL\r\n"}
	parts := append([]string{"USER " + user + "\r\n", "PASS " + password + "\r\n"}, look...)
	for n := range count {
		parts = append(parts, fmt.Sprintf("RETR %d\r\n", n+1), fmt.Sprintf("TOP %d 2147483647\r\n", n+1), fmt.Sprintf("DELE %d\r\n", n+1))
	}
	parts = append(append(parts, "RSET\r\n"), look...)
	v, err := t.visit(way{serve: serve}, m, parts, event{at: -1})
	if err != nil {
		return "", err
	}
	r := bufio.NewReader(bytes.NewReader(v.said))
	next := func(shape answer) (a answer) {
		if wrong == "" {
			if a, err = read(r, shape); err != nil || !a.ok {
				wrong = fmt.Sprintf("relations: an answer is %v, %v", a, err)
			}
		}
		return a
	}
	for range 3 { // the greeting, USER and PASS
		next(yes())
	}
	stat, list, uidl := next(yes(0, 0)), next(many(nil)), next(many(nil))
	sizes, sum := sizesOf(list.lines)
	if wrong == "" && (int64(len(sizes)) != stat.numbers[0] || sum != stat.numbers[1]) {
		wrong = fmt.Sprintf("relations: STAT says %d and LIST has %d messages of %d octets", stat.numbers, len(sizes), sum)
	}
	for n := range count {
		retr, top := next(many(nil)), next(many(nil))
		next(yes())
		if wrong == "" && (n >= len(sizes) || !bytes.Equal(retr.lines, top.lines) || int64(len(retr.lines)) != sizes[n]) {
			wrong = fmt.Sprintf("relations: message %d has %d octets by RETR, %d by TOP, %d by LIST", n+1, len(retr.lines), len(top.lines), sizes[n])
		}
	}
	next(yes())
	again := []answer{next(yes(0, 0)), next(many(nil)), next(many(nil))}
	for i, before := range []answer{stat, list, uidl} {
		if d := before.differs(again[i]); wrong == "" && d != "" {
			wrong = fmt.Sprintf("relations: DELE and RSET have changed %v to %v", before, again[i])
		}
	}
	return wrong, nil
}

// sizesOf reads the lines of LIST.
func sizesOf(lines []byte) (sizes []int64, sum int64) {
	for line := range strings.Lines(string(lines)) {
		_, size, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil {
			n = -1
		}
		sizes, sum = append(sizes, n), sum+n
	}
	return sizes, sum
}

package imap

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
)

const (
	maxLine = 8 << 10
	// maxChatter is how many lines a server may send ahead of the answer to
	// STARTTLS.
	maxChatter = 20
)

// startTLS takes a connection to where TLS begins. It leaves nothing for later
// that came in clear text: what a server sent ahead of TLS may be somebody
// else's, and is refused (CVE-2011-0411).
func startTLS(c net.Conn) error {
	br := bufio.NewReaderSize(c, maxLine)
	greeting, err := readLine(br)
	if err != nil {
		return err
	}
	if !hasWords(greeting, "*", "OK") {
		return errors.New("server greets by " + greeting)
	}
	if _, err := io.WriteString(c, "S STARTTLS\r\n"); err != nil {
		return err
	}
	for range maxChatter {
		line, err := readLine(br)
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(line, "* "):
			continue
		case !hasWords(line, "S", "OK"):
			return errors.New("server answers " + line)
		case br.Buffered() > 0:
			return errors.New("server sent data before TLS began")
		}
		return nil
	}
	return errTooMuch
}

func readLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errTooMuch
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return strings.TrimRight(string(line), "\r\n"), err
}

// hasWords says whether line begins with a tag and, in letters of any case, a
// word in capitals.
func hasWords(line, tag, word string) bool {
	first, rest, _ := strings.Cut(line, " ")
	second, _, _ := strings.Cut(rest, " ")
	if first != tag || len(second) != len(word) {
		return false
	}
	for i := range len(word) {
		if c := second[i]; c != word[i] && c != word[i]+'a'-'A' {
			return false
		}
	}
	return true
}

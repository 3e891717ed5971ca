package inject

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/postwain/postwain/test/campaign"
)

// books say of every message of one maildrop what its server has promised.
type books struct {
	mu       sync.Mutex
	account  string
	messages map[string]*message // by token
	owners   map[string]string   // tokens by UID, for ever
	quits    [][]string          // tokens of QUITs without an answer, or with a refusal
	faults   []string            // found between two judgements
}

// message is one that was sent by LMTP.
type message struct {
	text   string // with LF
	status status
	uid    string // empty: not seen yet
}

// status is what was said of a message.
type status int

const (
	offered status = iota // sent, and not answered
	here                  // answered 250
	doubted               // named by a QUIT that was not answered
	gone                  // removed by a QUIT that was answered +OK, or never there
)

func newBooks(account string) *books {
	return &books{account: account, messages: map[string]*message{}, owners: map[string]string{}}
}

func (b *books) offer(token, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages[token] = &message{text: text}
}

func (b *books) accept(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.messages[token]; m.status == offered {
		m.status = here
	}
}

// doubt is called before a QUIT.
func (b *books) doubt(tokens []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.quits = append(b.quits, tokens)
	for _, t := range tokens {
		b.messages[t].status = doubted
	}
}

// removed is called after the answer to the QUIT of the tokens.
func (b *books) removed(tokens []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.quits = slices.DeleteFunc(b.quits, func(q []string) bool { return q[0] == tokens[0] })
	for _, t := range tokens {
		b.messages[t].status = gone
	}
}

// copyOf is a message as a maildrop gives it.
type copyOf struct{ uid, text string }

// token is what the text says it is.
func (c copyOf) token() string {
	_, rest, _ := strings.Cut(c.text, tokenHeader)
	token, _, _ := strings.Cut(rest, "\n")
	return token
}

// tokenHeader begins the line that tells messages apart.
const tokenHeader = "X-Token: "

// witness is called with the listing of a session, which shows what has become
// of the QUITs of those before it.
func (b *books) witness(seen []copyOf) {
	b.mu.Lock()
	defer b.mu.Unlock()
	count := map[string]int{}
	for _, c := range seen {
		count[c.token()]++
	}
	b.settle(count)
}

// settle enters the outcomes of QUITs that were in doubt, given how often each
// message is there. The caller holds b.mu.
func (b *books) settle(count map[string]int) {
	for _, q := range b.quits {
		left := 0
		for _, token := range q {
			if count[token] > 0 {
				left++
			}
		}
		if left != 0 && left != len(q) {
			b.faults = append(b.faults, fmt.Sprintf("a QUIT without a good answer removed %d of %d", len(q)-left, len(q)))
		}
		for _, token := range q {
			b.messages[token].status = gone
			if count[token] > 0 {
				b.messages[token].status = here
			}
		}
	}
	b.quits = nil
}

// judge compares what a server has with the books, and enters what is no longer
// in doubt. From a server that was not started anew a message may yet come that
// nobody was answered for.
func (b *books) judge(seen []copyOf, anew bool, r *campaign.Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	count := map[string]int{}
	for _, c := range seen {
		token := c.token()
		m := b.messages[token]
		if m == nil {
			r.Find("%s: a message that nobody sent: %.200q", b.account, c.text)
			continue
		}
		if count[token]++; count[token] > 1 {
			r.Find("%s: %s is there %d times", b.account, token, count[token])
		}
		if !strings.HasSuffix(c.text, m.text) {
			r.Find("%s: %s has %d octets with its trace, of the %d that were sent", b.account, token, len(c.text), len(m.text))
		}
		if m.uid != "" && m.uid != c.uid {
			r.Find("%s: %s had the UID %s and has %s", b.account, token, m.uid, c.uid)
		}
		if owner, used := b.owners[c.uid]; used && owner != token {
			r.Find("%s: UID %s was of %s and is of %s", b.account, c.uid, owner, token)
		}
		m.uid, b.owners[c.uid] = c.uid, token
	}
	b.settle(count)
	for _, f := range b.faults {
		r.Find("%s: %s", b.account, f)
	}
	b.faults = nil
	for token, m := range b.messages {
		there := count[token] > 0
		switch {
		case m.status == here && !there:
			r.Find("%s: %s was answered 250 and is lost", b.account, token)
		case m.status == gone && there:
			r.Find("%s: %s was removed and is back", b.account, token)
		}
		switch {
		case there:
			m.status = here
		case anew || m.status != offered:
			m.status = gone
		}
	}
}

// String tells how many there are of each kind.
func (b *books) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n [gone + 1]int
	for _, m := range b.messages {
		n[m.status]++
	}
	return fmt.Sprintf("%d there, %d gone", n[here], n[gone])
}

//go:build bucket

package bucket

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// verb is what somebody did with a maildrop.
type verb string

const (
	delivers verb = "deliver" // a message
	looks    verb = "look"    // opens the maildrop and sees messages
	quits    verb = "quit"    // removes messages
)

// deed is an input of the model; tokens tell messages apart.
type deed struct {
	verb   verb
	tokens []string
}

// outcome is how a deed ended.
type outcome string

const (
	done    outcome = "done"
	refused outcome = "refused" // nothing has changed
	unknown outcome = "unknown" // it may have been done, or be done later
)

// maildropModel is one maildrop that does one thing after the other. Its state
// is the tokens that are there, sorted.
func maildropModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			there := strings.Fields(state.(string))
			d := input.(deed)
			if output.(outcome) == refused {
				return true, state
			}
			switch d.verb {
			case delivers:
				if slices.Contains(there, d.tokens[0]) {
					return false, state
				}
				there = append(there, d.tokens...)
				slices.Sort(there)
			case looks:
				return slices.Equal(there, d.tokens), state
			case quits:
				before := len(there)
				there = slices.DeleteFunc(there, func(t string) bool { return slices.Contains(d.tokens, t) })
				if output.(outcome) == done && before-len(there) != len(d.tokens) {
					return false, state
				}
			}
			return true, strings.Join(there, " ")
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprint(input, output) },
	}
}

// history is what was done with one maildrop.
type history struct {
	mu    sync.Mutex
	began time.Time
	ops   []porcupine.Operation
}

// since is the time of the history.
func (h *history) since() int64 { return int64(time.Since(h.began)) }

func (h *history) enter(client int, d deed, began int64, f outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ended := h.since()
	if f == unknown {
		ended = math.MaxInt64
	}
	slices.Sort(d.tokens)
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: d, Call: began, Output: f, Return: ended})
}

// count is how many deeds had a outcome.
func (h *history) count(v verb, f outcome) (n int) {
	for _, op := range h.ops {
		if op.Input.(deed).verb == v && op.Output.(outcome) == f {
			n++
		}
	}
	return n
}

// check fails unless there is an order of all deeds that explains what was seen.
func (h *history) check() porcupine.CheckResult {
	h.prune()
	return porcupine.CheckOperationsTimeout(maildropModel(), h.ops, time.Minute)
}

// prune helps the checker: a delivery of unknown outcome was done before the first
// look that saw it, and need not have been if none did.
func (h *history) prune() {
	seen := map[string]int64{}
	for _, op := range h.ops {
		if d := op.Input.(deed); d.verb == looks {
			for _, t := range d.tokens {
				if at, before := seen[t]; !before || op.Return < at {
					seen[t] = op.Return
				}
			}
		}
	}
	h.ops = slices.DeleteFunc(h.ops, func(op porcupine.Operation) bool {
		_, ok := seen[op.Input.(deed).first()]
		return op.Input.(deed).verb == delivers && op.Output.(outcome) == unknown && !ok
	})
	for i, op := range h.ops {
		if op.Input.(deed).verb == delivers && op.Output.(outcome) == unknown {
			h.ops[i].Return = seen[op.Input.(deed).first()]
		}
	}
}

// first is a token of the deed; empty if it has none.
func (d deed) first() string {
	if len(d.tokens) == 0 {
		return ""
	}
	return d.tokens[0]
}

// The checker finds what must not be.
func TestHistory(t *testing.T) {
	t.Parallel()
	a, b := []string{"a"}, []string{"b"}
	ab := []string{"a", "b"}
	op := func(v verb, tokens []string, began, ended int64, f outcome) porcupine.Operation {
		if f == unknown {
			ended = math.MaxInt64
		}
		return porcupine.Operation{Input: deed{v, tokens}, Call: began, Output: f, Return: ended}
	}
	for name, c := range map[string]struct {
		ops  []porcupine.Operation
		want porcupine.CheckResult
	}{
		"all is well":      {[]porcupine.Operation{op(delivers, a, 1, 2, done), op(looks, a, 3, 4, done), op(quits, a, 5, 6, done), op(looks, nil, 7, 8, done)}, porcupine.Ok},
		"lost":             {[]porcupine.Operation{op(delivers, a, 1, 2, done), op(looks, nil, 3, 4, done)}, porcupine.Illegal},
		"back":             {[]porcupine.Operation{op(delivers, a, 1, 2, done), op(quits, a, 3, 4, done), op(looks, a, 5, 6, done)}, porcupine.Illegal},
		"removed in part":  {[]porcupine.Operation{op(delivers, a, 1, 2, done), op(delivers, b, 1, 2, done), op(quits, ab, 3, 4, unknown), op(looks, b, 5, 6, done)}, porcupine.Illegal},
		"removed in doubt": {[]porcupine.Operation{op(delivers, a, 1, 2, done), op(quits, a, 3, 4, unknown), op(looks, nil, 5, 6, done)}, porcupine.Ok},
		"back after doubt": {[]porcupine.Operation{op(delivers, a, 1, 2, done), op(quits, a, 3, 4, unknown), op(looks, nil, 5, 6, done), op(looks, a, 7, 8, done)}, porcupine.Illegal},
		"refused and gone": {[]porcupine.Operation{op(delivers, a, 1, 2, done), op(quits, a, 3, 4, refused), op(looks, nil, 5, 6, done)}, porcupine.Illegal},
		"arrived in doubt": {[]porcupine.Operation{op(delivers, a, 1, 2, unknown), op(looks, nil, 3, 4, done), op(looks, a, 5, 6, done)}, porcupine.Ok},
		"gone by itself":   {[]porcupine.Operation{op(delivers, a, 1, 2, unknown), op(looks, a, 3, 4, done), op(looks, nil, 5, 6, done)}, porcupine.Illegal},
	} {
		h := &history{ops: c.ops}
		if got := h.check(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

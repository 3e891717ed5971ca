package differential

import (
	"fmt"
	"slices"
	"strings"
)

// shrink leaves out of a session of ours that went wrong what it goes wrong
// without: one message after another, and one step after another.
func (t trial) shrink(drop []letter, steps []step) (string, error) {
	wrong := ""
	tries := func(drop []letter, steps []step) (bool, error) {
		w, err := t.again(drop, steps)
		if w != "" {
			wrong = w
		}
		return w != "", err
	}
	if still, err := tries(drop, steps); err != nil || !still {
		return "it does not go wrong line by line, on the same mail", err
	}
	steps, err := fewer(steps, func(s []step) (bool, error) { return tries(drop, s) })
	if err != nil {
		return "", err
	}
	drop, err = fewer(drop, func(d []letter) (bool, error) { return tries(d, steps) })
	if err != nil {
		return "", err
	}
	if _, err := tries(drop, steps); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "with %d messages (%.200q), %q: %s", len(drop), texts(drop), lines(steps), wrong)
	return b.String(), nil
}

func texts(drop []letter) (all []string) {
	for _, l := range drop {
		all = append(all, string(l.text))
	}
	return all
}

// fewer leaves out parts of a list, halves first and then less, as long as the
// rest still goes wrong.
func fewer[T any](list []T, wrong func([]T) (bool, error)) ([]T, error) {
	for size := max(1, len(list)/2); ; size /= 2 {
		for at := 0; at < len(list); {
			rest := slices.Delete(slices.Clone(list), at, min(at+size, len(list)))
			still, err := wrong(rest)
			if err != nil {
				return list, err
			}
			if still {
				list = rest
			} else {
				at += size
			}
		}
		if size <= 1 {
			return list, nil
		}
	}
}

// again has the steps said line by line to a server in memory that has the mail.
func (t trial) again(drop []letter, steps []step) (wrong string, err error) {
	m, done, err := inMemory()
	if err != nil {
		return "", err
	}
	for _, l := range drop {
		if err := deliver(m, l.uid, string(l.text)); err != nil {
			return "", err
		}
	}
	none := event{at: -1}
	v, err := t.visit(way{serve: serve}, m, lines(steps), none)
	if err != nil {
		return "", err
	}
	_, wrong = compare(newSession(drop), steps, none, v)
	return wrong, done()
}

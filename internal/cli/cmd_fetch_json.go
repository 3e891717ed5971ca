package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/daemon"
	"github.com/postwain/postwain/internal/fetch"
)

// eventLine is an event as a line of JSON. Its names stay as they are.
type eventLine struct {
	Time        time.Time `json:"time"`
	Event       string    `json:"event"`
	Account     string    `json:"account"`
	Number      int       `json:"number,omitempty"`
	UID         string    `json:"uid,omitempty"`
	Messages    *int      `json:"messages,omitempty"`
	Octets      *int64    `json:"octets,omitempty"`
	Total       *int      `json:"total,omitempty"`
	TotalOctets *int64    `json:"total_octets,omitempty"`
	Text        string    `json:"text,omitempty"`
	Error       string    `json:"error,omitempty"`
}

// reportLine is the outcome of a round as a line of JSON.
type reportLine struct {
	Time     time.Time     `json:"time"`
	Event    string        `json:"event"` // "report"
	Account  string        `json:"account"`
	Fetched  int           `json:"fetched"`
	Deleted  int           `json:"deleted"`
	Left     int           `json:"left"`
	TooLarge int           `json:"too_large"`
	Failed   int           `json:"failed"`
	Octets   int64         `json:"octets"`
	Seconds  float64       `json:"seconds"`
	Failures []failureLine `json:"failures"`
	Error    string        `json:"error,omitempty"`
	Refused  bool          `json:"refused"`
	Advice   string        `json:"advice,omitempty"`
}

type failureLine struct {
	Number int       `json:"number"`
	UID    string    `json:"uid"`
	Size   int64     `json:"size"`
	Tries  int       `json:"tries"`
	Next   time.Time `json:"next"`
	Reason string    `json:"reason"`
}

// line writes a line of JSON in plain ASCII: what is not is written as \u and
// digits, which every reader of JSON takes back and no terminal obeys.
func (o *fetchOutput) line(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, r := range string(data) {
		switch {
		case r < 0x7F:
			b.WriteByte(byte(r))
		case r > 0xFFFF:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	_, err = io.WriteString(o.stdout, b.String()+"\n")
	return err
}

// stamp is a time as lines of JSON have it.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func jsonEvent(e fetch.Event) eventLine {
	l := eventLine{Time: stamp(e.Time), Event: e.Kind.String(), Account: e.Account, UID: e.UID, Text: e.Text}
	switch e.Kind {
	case fetch.Listed:
		l.Messages, l.Octets, l.Total, l.TotalOctets = &e.Number, &e.Octets, &e.Total, &e.TotalOctets
	case fetch.Stored, fetch.Failed:
		l.Number, l.Octets = e.Number, &e.Octets
	case fetch.Deleted:
		l.Total = &e.Total
	case fetch.Finished:
		l.Total, l.TotalOctets = &e.Total, &e.TotalOctets
	}
	if e.Err != nil {
		l.Error = e.Err.Error()
	}
	return l
}

func (o *fetchOutput) jsonReport(r fetch.Report, now time.Time) reportLine {
	l := reportLine{
		Time: stamp(now), Event: "report", Account: r.Account, Fetched: r.Fetched, Deleted: r.Deleted, Left: r.Left, TooLarge: r.TooLarge, Failed: r.Failed,
		Octets: r.Octets, Seconds: o.took(r.Account).Round(time.Millisecond).Seconds(), Failures: []failureLine{},
		Refused: errors.Is(r.Err, fetch.ErrSignIn), Advice: daemon.FetchAdvice(r.Err),
	}
	for _, f := range r.Failures {
		l.Failures = append(l.Failures, failureLine{f.Number, f.UID, f.Size, f.Tries, stamp(f.Next), f.Reason})
	}
	if r.Err != nil {
		l.Error = r.Err.Error()
	}
	return l
}

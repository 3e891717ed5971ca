package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/postwain/postwain/internal/daemon"
	"github.com/postwain/postwain/internal/fetch"
	"github.com/postwain/postwain/internal/progress"
)

// plannedLine is a message of a dry run as a line of JSON.
type plannedLine struct {
	Event   string `json:"event"` // "planned"
	Account string `json:"account"`
	Number  int    `json:"number"`
	UID     string `json:"uid,omitempty"`
	Size    int64  `json:"size"`
	Action  string `json:"action"`
	Reason  string `json:"reason,omitempty"`
}

// planLine is the sum of a dry run as a line of JSON.
type planLine struct {
	Event   string `json:"event"` // "plan"
	Account string `json:"account"`
	To      string `json:"to"`
	Fetch   int    `json:"fetch"`
	Compare int    `json:"compare"`
	Delete  int    `json:"delete"`
	Leave   int    `json:"leave"`
	Octets  int64  `json:"octets"`
	Error   string `json:"error,omitempty"`
	Advice  string `json:"advice,omitempty"`
}

// sum counts what would be done.
func sum(p daemon.Preview) planLine {
	l := planLine{Event: "plan", Account: p.Name, To: p.To, Advice: daemon.FetchAdvice(p.Err)}
	for _, m := range p.Messages {
		switch m.Action {
		case fetch.Fetch:
			l.Fetch++
			l.Octets += m.Size
		case fetch.Compare:
			l.Compare++
		case fetch.Delete:
			l.Delete++
		default:
			l.Leave++
		}
	}
	if p.Err != nil {
		l.Error = p.Err.Error()
	}
	return l
}

// previews tells what a round would do, and gives the exit code as an error.
func (o *fetchOutput) previews(all []daemon.Preview) error {
	o.close()
	reports := make([]fetch.Report, len(all))
	for i, p := range all {
		reports[i].Err = p.Err
		tell := o.sayPreview
		if o.json {
			tell = o.linePreview
		}
		if err := tell(p); err != nil {
			return escaped(err)
		}
	}
	if code := outcome(reports); code != exitOK {
		return exit{code: code}
	}
	return nil
}

func (o *fetchOutput) linePreview(p daemon.Preview) error {
	for _, m := range p.Messages {
		if err := o.line(plannedLine{"planned", p.Name, m.Number, m.UID, m.Size, m.Action.String(), m.Reason}); err != nil {
			return err
		}
	}
	return o.line(sum(p))
}

// sayPreview writes a line for each message, and one for the mailbox.
func (o *fetchOutput) sayPreview(p daemon.Preview) error {
	var b strings.Builder
	say := func(format string, args ...any) { b.WriteString(progress.Escape(fmt.Sprintf(format, args...)) + "\n") }
	for _, m := range p.Messages {
		line := fmt.Sprintf("%-7s  %6d  %8s  %s", m.Action, m.Number, progress.Octets(m.Size), m.UID)
		if m.Reason != "" {
			line += "  (" + m.Reason + ")"
		}
		say("%s", line)
	}
	l := sum(p)
	switch {
	case p.Err != nil:
		say("%s", failure(p.Name, p.Err))
		if l.Advice != "" {
			say("  %s", l.Advice)
		}
	case l.Compare > 0:
		say("%s: %s to fetch (%s) to %s, %s to compare with what was fetched, %s to delete, %s to leave", p.Name,
			plural(l.Fetch, "message", "messages"), progress.Octets(l.Octets), p.To, progress.Count(l.Compare), progress.Count(l.Delete), progress.Count(l.Leave))
	default:
		say("%s: %s to fetch (%s) to %s, %s to delete, %s to leave", p.Name,
			plural(l.Fetch, "message", "messages"), progress.Octets(l.Octets), p.To, progress.Count(l.Delete), progress.Count(l.Leave))
	}
	_, err := io.WriteString(o.stdout, b.String())
	return err
}

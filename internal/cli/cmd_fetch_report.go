package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/daemon"
	"github.com/postwain/postwain/internal/fetch"
	"github.com/postwain/postwain/internal/progress"
)

// table is a row for each account, and their sum where there are several.
func (o *fetchOutput) table(reports []fetch.Report) string {
	rows := [][]string{{"account", "fetched", "deleted", "left", "failed", "octets", "time"}}
	row := func(name string, r fetch.Report, took time.Duration) {
		rows = append(rows, []string{
			name, progress.Count(r.Fetched), progress.Count(r.Deleted), progress.Count(r.Left), progress.Count(r.Failed),
			progress.Octets(r.Octets), progress.Clock(took),
		})
	}
	var sum fetch.Report
	var longest time.Duration
	for _, r := range reports {
		took := o.took(r.Account)
		row(r.Account, r, took)
		sum.Fetched, sum.Deleted, sum.Left, sum.Failed = sum.Fetched+r.Fetched, sum.Deleted+r.Deleted, sum.Left+r.Left, sum.Failed+r.Failed
		sum.Octets += r.Octets
		longest = max(longest, took)
	}
	if len(reports) > 1 {
		row("all", sum, longest)
	}
	return progress.Table(rows)
}

// remarks says what failed, why, and what will happen next.
func remarks(reports []fetch.Report, now time.Time) string {
	var b strings.Builder
	say := func(format string, args ...any) { b.WriteString(progress.Escape(fmt.Sprintf(format, args...)) + "\n") }
	for _, r := range reports {
		if r.TooLarge > 0 {
			say("%s: %s left on the server, larger than max-size", r.Account, plural(r.TooLarge, "message", "messages"))
		}
		for _, f := range r.Failures {
			say("%s: message %d (UID %s, %s) failed: %s", r.Account, f.Number, cmp.Or(f.UID, "none"), progress.Octets(f.Size), f.Reason)
			say("  it stays on the server; tried %s, to be tried again %s", plural(f.Tries, "time", "times"), in(f.Next.Sub(now)))
		}
		if more := r.Failed - len(r.Failures); more > 0 && len(r.Failures) > 0 {
			say("%s: and %s", r.Account, plural(more, "message more", "messages more"))
		}
		if r.Err == nil {
			continue
		}
		say("%s", failure(r.Account, r.Err))
		if advice := daemon.FetchAdvice(r.Err); advice != "" {
			say("  %s", advice)
		}
	}
	return b.String()
}

// failure is an error of an account, which is named in it once.
func failure(account string, err error) string {
	text := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "fetch: "), "\n", "; ")
	if strings.HasPrefix(text, account) {
		return text
	}
	return account + ": " + text
}

// in says when something is due, in words.
func in(d time.Duration) string {
	switch {
	case d <= 0:
		return "with the next run"
	case d < 90*time.Minute:
		return "in " + plural(int((d+time.Minute-1)/time.Minute), "minute", "minutes")
	}
	return "in " + plural(int((d+time.Hour-1)/time.Hour), "hour", "hours")
}

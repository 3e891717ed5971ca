package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/daemon"
)

const doctorHelp = `postwain doctor bucket --config FILE

Tries whether mail can be kept in the bucket that FILE names: on objects of its
own, which it removes. Each line is what was tried, what came of it, and what
to do where something should be done.

  postwain doctor bucket --config /etc/postwain/postwain.toml

Exit codes: 0 mail can be kept there, also if there is advice; 1 it cannot;
2 wrong command line, 78 wrong configuration.
`

// patience of a doctor: the store is given this long for all of it.
const patience = 5 * time.Minute

func (e Env) doctor() error {
	flags := newFlags()
	file := flags.String("config", "", "")
	rest, err := e.parse(flags, doctorHelp)
	if err != nil {
		return err
	}
	if len(rest) != 1 || rest[0] != "bucket" || *file == "" {
		return usagef("write: postwain doctor bucket --config FILE")
	}
	c, err := config.Load(*file)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	checks, err := daemon.ExamineBucket(ctx, c)
	if err != nil {
		return err
	}
	return e.report(checks)
}

// report prints the checks, a line each.
func (e Env) report(checks []daemon.BucketCheck) (err error) {
	wide := 0
	for _, c := range checks {
		wide = max(wide, len(c.Name))
	}
	for _, c := range checks {
		verdict, text := "ok", c.Detail
		switch {
		case c.Err != nil:
			verdict, text = "FAILED", c.Err.Error()
		case c.Advice != "":
			verdict, text = "advice", c.Advice
		}
		line := fmt.Sprintf("%-*s  %-6s  %6d ms  %s", wide, c.Name, verdict, c.Took.Milliseconds(), text)
		if _, wrong := fmt.Fprintln(e.Stdout, strings.TrimRight(line, " ")); wrong != nil {
			return wrong
		}
		if c.Err != nil {
			err = exit{code: exitFailed}
		}
	}
	return err
}

package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/daemon"
	"github.com/postwain/postwain/internal/progress"
)

const fetchAuthorizeHelp = `postwain fetch authorize NAME --config FILE [--state DIR]

Gets the OAuth 2 token of the mailbox NAME in FILE, whose section has a
[fetch.oauth], and keeps it in a file. It prints an address to open in a
browser, and waits until its owner has signed in there. From then on postwain
fetch renews the token by itself.

With flow = "code" the browser must run on this machine, or reach the port that
is printed through a tunnel (ssh -L). With flow = "device" it runs anywhere. With
flow = "client" there is nothing to authorize.

  postwain fetch authorize helpdesk --config /etc/postwain/postwain.toml

Run it as the user that fetches.
Exit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration.
`

func (e Env) fetchAuthorize() error {
	c := newFetchFlags()
	rest, err := e.parse(c.flags, fetchAuthorizeHelp)
	if err == nil {
		err = c.wrong
	}
	if err != nil {
		return err
	}
	if len(rest) != 1 || c.file == "" {
		return usagef("write: postwain fetch authorize NAME --config FILE")
	}
	for name := range c.given {
		if name != "config" && name != "state" {
			return usagef("authorize takes no --%s", name)
		}
	}
	job, err := c.fileJob(rest)
	if err != nil {
		return err
	}
	box := &job.mailboxes[0]
	switch {
	case !box.Authorized():
		return usagef("%s has no [fetch.oauth] for %s", c.file, box.Title())
	case box.OAuth.Flow == config.Client:
		return usagef("there is nothing to authorize: the client of %s signs in by itself (flow = \"client\")", box.Title())
	}
	ctx, _ := e.untilSignals()
	if err := e.authorize(ctx, job); err != nil {
		return escaped(err)
	}
	_, err = fmt.Fprintf(e.Stdout, "%s is authorized.\n", progress.Escape(box.Title()))
	return err
}

func (e Env) authorize(ctx context.Context, job fetchJob) error {
	return daemon.Authorize(ctx, daemon.FetchOptions{
		Mailboxes: job.mailboxes, File: job.config.File, State: job.state, Once: true,
		Stderr: e.Stderr, Stdin: e.Stdin, Terminal: e.Stderr, Getenv: e.Getenv,
	}, e.prompt)
}

// prompt tells the owner of a mailbox what to do.
func (e Env) prompt(p daemon.Prompt) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Open this address in a browser, and sign in:\n\n  %s\n\n", p.URL)
	if p.Code != "" {
		fmt.Fprintf(&b, "There, type in the code %s\n", p.Code)
	}
	if _, port, ok := strings.Cut(p.Listen, ":"); ok {
		fmt.Fprintf(&b, "The browser must run on this machine; from another one, first: ssh -L %s:%s HOST\n", port, p.Listen)
	}
	fmt.Fprintf(&b, "Waiting until %s.\n", p.Until.Local().Format(time.TimeOnly))
	_, err := io.WriteString(e.Stdout, b.String())
	return err
}

package cli

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postwain/postwain/internal/config"
)

const fetchHelp = `postwain fetch SOURCE --to DEST [flags]
postwain fetch --config FILE [NAME ...] [flags]
postwain fetch import FILE
postwain fetch authorize NAME --config FILE

Fetches the mail of POP3 mailboxes, each message once, whatever breaks on the
way. What is stored is deleted from the server, unless told otherwise.

SOURCE  pops://user@host[:port]      TLS, port 995
        pop://user@host[:port]       TLS by STLS, port 110
        kpop://user@host[:port]      a Kerberos ticket, no TLS, port 1109
DEST    maildir:PATH                 made if it is not there
        mbox:PATH
        lmtp:PATH                    a socket
        lmtp://host[:port]           port 24
        smtp://[user@]host[:port]    TLS by STARTTLS, port 25
        smtps://[user@]host[:port]   TLS, port 465
        imaps://user@host/Mailbox    TLS; imap:// is TLS by STARTTLS
        "exec:COMMAND ARGS"          reads the message; no shell

With --config it fetches what the [[fetch]] sections of FILE say, or those that
are named. docs/config.md describes FILE, docs/FETCH.md the rest.

Of what is fetched:
  --keep                  leave all mail on the server
  --delete-after 7d       delete it so long after it was fetched
  --only-new              take what is there at the first contact for fetched
  --max-size 50MiB        leave larger messages on the server and report them
  --limit N               fetch N messages at most
How to sign in. Without one of these the password is taken from the environment
variable POSTWAIN_PASSWORD, or asked for at the terminal:
  --password-file F       F's first line
  --password-command CMD  the first line that CMD prints
  --token-command CMD     likewise an OAuth 2 token
  --auth MECHANISM        such as PLAIN, SCRAM-SHA-256, XOAUTH2; with GSSAPI,
                          and with kpop://, the ticket of kinit signs in
  --keytab F              no kinit: F has the keys of the source's user
  --principal NAME        or of NAME
How to connect:
  --ca FILE               trust the certificates in FILE
  --plaintext             pop:// without TLS: everybody on the way can read it
  --timeout 30s           of each step
Of the destination:
  --recipient ADDRESS     whom the mail is for; lmtp and smtp need it
  --from ADDRESS          whom errors go to, by default nobody
  --to-password-file F, --to-password-command CMD, --to-ca FILE, --to-plaintext
How to run:
  --dry-run               tell what would be done; fetch and delete nothing
  --every 5m              fetch again and again until stopped
  --state DIR             what fetch must remember (by default
                          ~/.local/state/postwain/fetch); it is as dear as the mail
  --json                  tell each event as a line of JSON on standard output

  postwain fetch pops://alice@pop.example.org --to maildir:~/Maildir
  postwain fetch pops://bob@example.org@pop.example.org --to mbox:archive --keep
  postwain fetch --config /etc/postwain/postwain.toml helpdesk --dry-run

Signals: TERM, INT and HUP stop when what is in hand is stored, the second one
at once; nothing is lost either way.
Exit codes: 0 done, also if there was nothing new; 1 failed; 2 wrong command
line; 3 done in part: messages or mailboxes failed; 77 the server refused the
sign-in; 78 wrong configuration.
`

func (e Env) fetch() error {
	if len(e.Args) > 0 {
		switch e.Args[0] {
		case "import":
			e.Args = e.Args[1:]
			return e.fetchImport()
		case "authorize":
			e.Args = e.Args[1:]
			return e.fetchAuthorize()
		}
	}
	c := newFetchFlags()
	rest, err := e.parse(c.flags, fetchHelp)
	if err == nil {
		err = c.wrong
	}
	if err != nil {
		return err
	}
	job, err := c.job(rest)
	if err != nil {
		return err
	}
	return e.runFetch(job)
}

// fetchJob is what a command line of fetch asks for.
type fetchJob struct {
	mailboxes []config.Fetch
	config    *config.Config // nil: the mailbox is on the command line
	fetchMode
}

// job reads the configuration, or makes a mailbox of the command line.
func (c *fetchFlags) job(rest []string) (fetchJob, error) {
	switch {
	case c.mode.dryRun && c.mode.every > 0:
		return fetchJob{}, usagef("--dry-run and --every contradict each other; write one of them")
	case c.file != "":
		return c.fileJob(rest)
	case len(rest) == 0:
		return fetchJob{}, usagef("write: postwain fetch SOURCE --to DEST, or postwain fetch --config FILE")
	case len(rest) > 1:
		return fetchJob{}, usagef("one SOURCE at a time, and %q is one too many; several are sections of a --config FILE", rest[1])
	}
	if err := c.one.Source.UnmarshalText([]byte(rest[0])); err != nil {
		return fetchJob{}, usagef("%v", err)
	}
	spelled := func(key string) string {
		if key == "source" {
			return "SOURCE"
		}
		return "--" + strings.ReplaceAll(key, "_", "-")
	}
	var wrong []string
	for _, w := range c.one.Check(spelled) {
		wrong = append(wrong, w.Text)
	}
	if len(wrong) > 0 {
		return fetchJob{}, usagef("%s", strings.Join(wrong, "\npostwain: "))
	}
	return fetchJob{mailboxes: []config.Fetch{c.one}, fetchMode: c.mode}, nil
}

// fileJob takes the sections that are named, or all.
func (c *fetchFlags) fileJob(names []string) (fetchJob, error) {
	for _, name := range slices.Sorted(maps.Keys(c.given)) {
		if c.given[name] && !goesWithFile(name) {
			return fetchJob{}, usagef("--%s goes with a SOURCE; with --config it is a key in FILE", name)
		}
	}
	all, err := config.LoadFor(config.Fetching, c.file)
	if err != nil {
		return fetchJob{}, err
	}
	job := fetchJob{config: all, fetchMode: c.mode}
	if job.state == "" && all.StateDir != "" {
		job.state = filepath.Join(all.StateDir, "fetch")
	}
	if len(names) == 0 {
		job.mailboxes = all.Fetch
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return fetchJob{}, usagef("%q is there twice", name)
		}
		section, err := sectionNamed(all, name)
		if err != nil {
			return fetchJob{}, err
		}
		job.mailboxes = append(job.mailboxes, *section)
	}
	return job, nil
}

// sectionNamed finds the [[fetch]] of that name.
func sectionNamed(c *config.Config, name string) (*config.Fetch, error) {
	var names []string
	for i := range c.Fetch {
		if c.Fetch[i].Title() == name {
			return &c.Fetch[i], nil
		}
		names = append(names, c.Fetch[i].Title())
	}
	return nil, usagef("%s has no [[fetch]] with the name %q; it has %s", c.File, name, strings.Join(names, ", "))
}

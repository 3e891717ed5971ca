package cli

import (
	"context"
	"os"

	"golang.org/x/term"

	"github.com/postwain/postwain/internal/daemon"
	"github.com/postwain/postwain/internal/sandbox"
)

const serveHelp = `postwain serve [--config FILE] [--data DIR]

Serves mail by POP3 until it is told to stop.

Without --config it serves this machine only, from DIR (by default
~/.local/state/postwain): POP3 at 127.0.0.1:1110 and 127.0.0.1:1995, LMTP at a
socket in DIR. The first start makes an account and prints how to use it; where
the output is no terminal, the password is left in DIR/first-password.

With --config it serves as FILE says; DIR is then the state directory, and comes
before state_dir in FILE. docs/config.md describes FILE, docs/OPERATION.md the
rest.

  postwain serve
  postwain serve --data /tmp/mail
  postwain serve --config /etc/postwain/postwain.toml

Once it serves, the process may open no files but those that FILE names, the mail
and the state (Landlock, where the kernel has it). POSTWAIN_SANDBOX=off in the
environment leaves that out.

Signals: HUP reads the configuration and the certificates again, TERM and INT
stop when the commands in hand are done, the second one at once.
Exit codes: 0 stopped by a signal, 1 failed, or stopped by a second signal,
2 wrong command line, 78 wrong configuration.
`

func (e Env) serve() error {
	flags := newFlags()
	file, data := place(flags)
	rest, err := e.parse(flags, serveHelp)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usagef("serve takes no argument %q", rest[0])
	}
	stdout, ok := e.Stdout.(*os.File)
	return daemon.Run(context.Background(), daemon.Options{
		Config: *file, Data: *data, Confine: confinement(e.Getenv), Terminal: ok && term.IsTerminal(int(stdout.Fd())),
		Stdout: e.Stdout, Stderr: e.Stderr, Getenv: e.Getenv, Signals: e.Signals(),
	})
}

// confinement is what the server does to itself, unless the operator wants it
// not to.
func confinement(getenv func(string) string) func(sandbox.Paths) (sandbox.Report, error) {
	if getenv("POSTWAIN_SANDBOX") == "off" {
		return nil
	}
	return sandbox.Confine
}

// Package cli is the command line: one file for each verb.
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/postwain/postwain/internal/config"
)

// The codes that the program exits with. They are documented in the help.
const (
	exitOK      = 0
	exitFailed  = 1  // something failed while it was done
	exitUsage   = 2  // the command line makes no sense
	exitPartial = 3  // some of it failed
	exitRefused = 77 // a server refused to let us in (EX_NOPERM of sysexits.h)
	exitConfig  = 78 // the configuration file makes no sense (EX_CONFIG)
)

// Env is what a command sees of the process.
type Env struct {
	Args           []string // without the program's name
	Stdin          *os.File // passwords are asked for without echo if it is a terminal
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Signals        func() <-chan os.Signal // called by commands that take signals
}

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

const help = `Postwain serves and fetches mail by POP3.

  postwain serve                         serve this machine; makes all it needs
  postwain serve --config FILE           serve as FILE says
  postwain fetch SOURCE --to DEST        fetch the mail of a POP3 mailbox
  postwain fetch --config FILE           fetch as FILE says
  postwain config check FILE             tell what is wrong with FILE
  postwain doctor bucket --config FILE   try whether a bucket can keep mail
  postwain user add|passwd|list|remove   who may sign in
  postwain version                       tell the version

Help for one of them: postwain serve --help

Exit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration.
Of fetch also: 3 done in part, 77 the server refused the sign-in.
`

// withHelp are the commands that explain themselves.
var withHelp = []string{"serve", "fetch", "config", "doctor", "user", "version"}

// Main runs a command and returns the code to exit with.
func Main(e Env) int {
	err := e.run()
	var usage usageError
	var problems config.Problems
	var coded exit
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		command := "postwain"
		if len(e.Args) > 0 && slices.Contains(withHelp, e.Args[0]) {
			command += " " + e.Args[0]
		}
		fmt.Fprintf(e.Stderr, "postwain: %v\nhelp: %s --help\n", err, command)
		return exitUsage
	case errors.As(err, &problems):
		fmt.Fprintln(e.Stderr, problems)
		return exitConfig
	case errors.As(err, &coded) && coded.text == "":
		return coded.code
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(e.Stderr, "postwain: %s\n", line)
	}
	if coded.code != 0 {
		return coded.code
	}
	return exitFailed
}

func (e Env) run() error {
	if len(e.Args) == 0 {
		fmt.Fprint(e.Stderr, help)
		return usagef("a command is missing")
	}
	verb := e.Args[0]
	e.Args = e.Args[1:]
	switch verb {
	case "serve":
		return e.serve()
	case "fetch":
		return e.fetch()
	case "config":
		return e.config()
	case "doctor":
		return e.doctor()
	case "user":
		return e.user()
	case "version", "--version", "-version":
		return e.version()
	case "help", "--help", "-help", "-h":
		if len(e.Args) > 0 && e.Args[0] != "help" {
			e.Args = []string{e.Args[0], "--help"}
			return e.run()
		}
		_, err := io.WriteString(e.Stdout, help)
		return err
	}
	return usagef("unknown command %q", verb)
}

// parse reads flags, which may stand before, between and behind the other
// arguments, and returns those.
func (e Env) parse(flags *flag.FlagSet, help string) ([]string, error) {
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	var rest []string
	for args := e.Args; ; {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(e.Stdout, help)
			return nil, err
		}
		if err != nil {
			return nil, usagef("%v", err)
		}
		args = flags.Args()
		if len(args) == 0 {
			return rest, nil
		}
		rest = append(rest, args[0])
		args = args[1:]
	}
}

// place defines the flags that say where a server has its things. An empty
// value, as of a shell's variable that is not set, is no value.
func place(flags *flag.FlagSet) (file, data *string) {
	file, data = new(string), new(string)
	for name, to := range map[string]*string{"config": file, "data": data} {
		flags.Func(name, "", func(value string) error {
			if value == "" {
				return errors.New("it is empty")
			}
			*to = value
			return nil
		})
	}
	return file, data
}

func newFlags() *flag.FlagSet { return flag.NewFlagSet("postwain", flag.ContinueOnError) }

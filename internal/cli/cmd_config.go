package cli

import (
	"fmt"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/daemon"
)

const configHelp = `postwain config check FILE

Tells everything that is wrong with a configuration file, each with its line.
It looks at the file only, not at what the file names.

  postwain config check /etc/postwain/postwain.toml

Exit codes: 0 nothing is wrong, 1 FILE cannot be read, 78 something is wrong.
`

func (e Env) config() error {
	rest, err := e.parse(newFlags(), configHelp)
	if err != nil {
		return err
	}
	if len(rest) != 2 || rest[0] != "check" {
		return usagef("write: postwain config check FILE")
	}
	c, err := config.LoadFor(config.Either, rest[1])
	if err != nil {
		return err
	}
	if err := daemon.Check(c); err != nil {
		return config.Problems{{File: rest[1], Text: err.Error()}}
	}
	_, err = fmt.Fprintf(e.Stdout, "%s: ok\n", rest[1])
	return err
}

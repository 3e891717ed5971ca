package cli

import (
	"fmt"
	"runtime"

	"github.com/postwain/postwain/internal/daemon"
)

const versionHelp = `postwain version

Tells the version of the program and of the Go that built it.
`

func (e Env) version() error {
	rest, err := e.parse(newFlags(), versionHelp)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usagef("version takes no argument %q", rest[0])
	}
	_, err = fmt.Fprintf(e.Stdout, "postwain %s %s %s/%s\n", daemon.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

package cli

import (
	"fmt"
	"runtime"

	"github.com/postwain/postwain/internal/daemon"
)

func (e Env) version() error {
	_, err := fmt.Fprintf(e.Stdout, "postwain %s %s %s/%s\n", daemon.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

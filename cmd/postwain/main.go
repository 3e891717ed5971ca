// Postwain serves mail by POP3. See postwain --help.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/postwain/postwain/internal/cli"
)

func main() {
	os.Exit(cli.Main(cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
		Signals: func() <-chan os.Signal {
			signals := make(chan os.Signal, 4)
			signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
			return signals
		},
	}))
}

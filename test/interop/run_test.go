//go:build interop

package interop

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// run runs a program with the environment variables of extra added, and gives
// its standard output. Its complaints are part of the error.
func run(ctx context.Context, extra []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), append(extra, "LC_ALL=C.UTF-8")...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second // what it has started may live on
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s: %w\n%s%s", name, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes(), nil
}

// readFiles reads every file of a directory.
func readFiles(dir string) ([][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// readDelivered reads what a client has put into a Maildir of its own.
func readDelivered(dir string) ([][]byte, error) {
	all, err := readMaildir(dir)
	return bodies(all), err
}

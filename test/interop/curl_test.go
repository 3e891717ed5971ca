//go:build interop

package interop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/postwain/postwain/test/rig"
)

// curl fetches what its caller names, so the caller compares the unique ids of
// the server with those of the run before.
var curl = client{
	name: "curl",
	fetch: func(ctx context.Context, j job) ([][]byte, error) {
		ids, err := curlUIDL(ctx, j)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(j.state, "ids")
		seen, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		var all [][]byte
		for i, id := range ids {
			if strings.Contains(string(seen), id+"\n") {
				continue
			}
			data, err := curlRun(ctx, j, i+1)
			if err != nil {
				return nil, err
			}
			all = append(all, data)
		}
		if j.delete && len(ids) > 0 {
			if err := curlDelete(ctx, j, len(ids)); err != nil {
				return nil, err
			}
		}
		return all, os.WriteFile(path, []byte(strings.Join(ids, "\n")+"\n"), 0o600)
	},
}

// curlUIDL gives the unique ids of a maildrop in its order.
func curlUIDL(ctx context.Context, j job) ([]string, error) {
	return curlList(ctx, j, "UIDL")
}

// curlList gives the second word of each line of a listing.
func curlList(ctx context.Context, j job, command string) ([]string, error) {
	out, err := curlRun(ctx, j, 0, "--request", command)
	if err != nil {
		return nil, err
	}
	var words []string
	for line := range strings.Lines(string(out)) {
		number, word, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || number != fmt.Sprint(len(words)+1) {
			return nil, fmt.Errorf("%s: line %q after %d lines", command, line, len(words))
		}
		words = append(words, word)
	}
	return words, nil
}

// curlDelete deletes messages 1 to n in one session: curl keeps the connection
// from one URL to the next and ends it with QUIT.
func curlDelete(ctx context.Context, j job, n int) error {
	var args []string
	for i := range n {
		if i > 0 {
			args = append(args, "--next")
		}
		args = append(args, curlArgs(j, i+1)...)
		args = append(args, "--request", "DELE", "--list-only")
	}
	_, err := run(ctx, nil, "curl", args...)
	return err
}

func curlRun(ctx context.Context, j job, number int, args ...string) ([]byte, error) {
	return run(ctx, nil, "curl", append(curlArgs(j, number), args...)...)
}

func curlArgs(j job, number int) []string {
	u := url.URL{Scheme: "pop3", Host: rig.Host + ":" + j.port(), Path: "/"}
	if number > 0 {
		u.Path = fmt.Sprint("/", number)
	}
	args := []string{"--silent", "--show-error", "--ipv4", "--user", j.account + ":" + rig.Password, "--cacert", j.authority}
	switch j.transport {
	case stls:
		args = append(args, "--ssl-reqd")
	case implicit:
		u.Scheme = "pop3s"
	}
	return append(args, u.String())
}

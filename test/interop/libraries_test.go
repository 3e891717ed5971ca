//go:build interop

package interop

import (
	"context"

	"github.com/postwain/postwain/test/rig"
)

// The libraries are driven by a script of a few lines in testdata, which does
// what a careful user of the library would.
var (
	poplib = client{
		name:  "Python poplib",
		fetch: script("python3", "testdata/poplib_fetch.py"),
	}
	netPOP3 = client{
		name:   "Perl Net::POP3",
		alters: map[string]string{"lone CR": "takes every CR before a line end away"},
		fetch:  script("perl", "testdata/netpop3_fetch.pl"),
	}
	netPop = client{
		name:  "Ruby net/pop",
		lacks: []transport{stls},
		fetch: script("ruby", "testdata/netpop_fetch.rb"),
	}
)

func script(interpreter, path string) func(context.Context, job) ([][]byte, error) {
	return func(ctx context.Context, j job) ([][]byte, error) {
		remove := ""
		if j.delete {
			remove = "yes"
		}
		_, err := run(ctx, []string{
			"POP_HOST=" + rig.Host, "POP_PORT=" + j.port(), "POP_TRANSPORT=" + string(j.transport),
			"POP_USER=" + j.account, "POP_PASS=" + rig.Password, "POP_AUTHORITY=" + j.authority,
			"POP_STATE=" + j.state, "POP_OUT=" + j.out, "POP_DELETE=" + remove,
		}, interpreter, path)
		if err != nil {
			return nil, err
		}
		return readFiles(j.out)
	}
}

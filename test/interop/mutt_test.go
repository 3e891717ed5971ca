//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/postwain/postwain/test/rig"
)

// mutt is driven by a keyboard command on a pseudo terminal: fetch-mail moves
// or copies everything from the POP3 server into its spool folder. The question
// about an unknown certificate listens to the terminal alone: r rejects it.
var mutt = client{
	name:    "mutt",
	forgets: true,
	alters: map[string]string{
		"NUL":     "ends the line there",
		"lone CR": "takes a CR before a line end away",
	},
	fetch: func(ctx context.Context, j job) ([][]byte, error) {
		if err := rig.MakeMaildir(j.out); err != nil {
			return nil, err
		}
		scheme, secure, remove := "pop", "no", "no"
		switch j.transport {
		case stls:
			secure = "yes"
		case implicit:
			scheme, secure = "pops", "yes"
		}
		if j.delete {
			remove = "yes"
		}
		rc := fmt.Sprintf(`set pop_host="%s://%s:%s/" pop_user=%q pop_pass=%q pop_delete=%s pop_last=no
set ssl_starttls=%s ssl_force_tls=%s ssl_ca_certificates_file=%q certificate_file=""
set folder=%q spoolfile=%q mbox_type=Maildir move=no quit=yes wait_key=no
push "<fetch-mail><quit>"
`, scheme, rig.Host, j.port(), j.account, rig.Password, remove, secure, secure, j.authority, j.state, j.out)
		path := filepath.Join(j.state, "muttrc")
		if err := os.WriteFile(path, []byte(rc), 0o600); err != nil {
			return nil, err
		}
		if _, err := run(ctx, []string{"TERM=xterm"}, "sh", "-c", `printf r | "$@"`, "sh", "script", "--quiet", "--return", "--command", "mutt -n -F "+path, "/dev/null"); err != nil {
			return nil, err
		}
		return readDelivered(j.out)
	},
}

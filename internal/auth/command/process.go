package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/postwain/postwain/sasl"
)

// maxComplaint bounds what is shown of the standard error.
const maxComplaint = 1 << 10

// process is a program that runs.
type process struct {
	cmd    *exec.Cmd
	output bounded
	said   complaint
}

// start starts the program. Its request is in the pipe before, so that nothing
// is left to be written by the time it runs, whether it reads it or not.
func (r *Runner) start(ctx context.Context, q Question) (*process, error) {
	in, err := filled(q.Input)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	p := &process{output: bounded{max: maxOutput}}
	p.said.secret = q.Secret
	p.said.max = maxComplaint + sasl.MaxPassword
	p.cmd = exec.CommandContext(ctx, r.program.Argv[0], r.program.Argv[1:]...)
	p.cmd.Env = slices.Concat(r.program.Env, q.Env)
	p.cmd.Dir, p.cmd.WaitDelay = r.program.Dir, linger
	p.cmd.ExtraFiles = []*os.File{in} // descriptor 3
	p.cmd.Stderr = &p.said
	if r.program.Output {
		p.cmd.Stdout = &p.output
	}
	isolate(p.cmd)
	return p, p.cmd.Start()
}

// filled returns a pipe from which text can be read, and then its end.
func filled(text []byte) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	if err = errors.Join(err, w.Close()); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	max  int
	text []byte
	more bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.max-len(b.text))
	b.text = append(b.text, p[:n]...)
	b.more = b.more || n < len(p)
	return len(p), nil
}

// complaint is what a program writes to its standard error. It keeps more than
// it shows, so that a password that begins in what would be shown is seen.
type complaint struct {
	bounded
	secret string
}

// String is what an error shows of it.
func (c *complaint) String() string {
	text := string(c.text)
	if c.secret != "" && strings.Contains(text, c.secret) {
		return " (what it says has the password in it)"
	}
	text = strings.TrimSpace(text[:min(len(text), maxComplaint)])
	if text == "" {
		return ""
	}
	return fmt.Sprintf(": %q", text)
}

//go:build interop

package interop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postwain/postwain/internal/auth/command"
	"github.com/postwain/postwain/internal/auth/pam"
	"github.com/postwain/postwain/sasl"
)

// pamPassword and its hash, for pam_pwdfile.
const (
	pamPassword = "right horse"
	pamHash     = "$6$postwain$3apG/spLy5k126lV1QL8QOTYGGYRPQ80mrlofq1oATeeWwdMYQygmfyJBinZLTDS6lkkHgDDa9bLLeCJe5Sid."
)

// pamHelper compiles the helper as an operator does.
func pamHelper(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} { // others run it, too
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "postwain-pam")
	source, err := filepath.Abs("../../contrib/pam/postwain-pam.c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run(t.Context(), nil, "cc", "-Wall", "-Wextra", "-Werror", "-O2", "-o", path, source, "-lpam"); err != nil {
		t.Fatal(err)
	}
	return path
}

// pamService gives PAM a service while the test runs.
func pamService(t *testing.T, lines ...string) string {
	t.Helper()
	f, err := os.CreateTemp("/etc/pam.d", "postwain-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Error(err)
		}
	})
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(f.Name())
}

func pamSource(t *testing.T, helper, service string) *pam.PAM {
	t.Helper()
	p, err := pam.New(pam.Options{Helper: helper, Service: service, Limits: command.Limits{RefusedAfter: -1}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func pamLogin(t *testing.T, p *pam.PAM, user, password string) (string, error) {
	t.Helper()
	return p.Authenticate(t.Context(), sasl.Login{User: user, Password: password, Remote: netip.MustParseAddr("192.0.2.7")})
}

// machineUser makes a user of this machine while the test runs.
func machineUser(t *testing.T, suffix string) string {
	t.Helper()
	name := fmt.Sprintf("pwt%d%s", os.Getpid(), suffix)
	command := func(ctx context.Context, input, program string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Stdin = strings.NewReader(input)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
	}
	command(t.Context(), "", "useradd", "--no-create-home", "--shell", "/usr/sbin/nologin", name)
	t.Cleanup(func() {
		if out, err := exec.Command("userdel", name).CombinedOutput(); err != nil {
			t.Errorf("userdel: %v\n%s", err, out)
		}
	})
	command(t.Context(), name+":"+pamPassword, "chpasswd")
	return name
}

func expectPAM(t *testing.T, p *pam.PAM, user, password, account string) {
	t.Helper()
	got, err := pamLogin(t, p, user, password)
	if got != account || (err == nil) != (account != "") || err != nil && !errors.Is(err, sasl.ErrRefused) {
		t.Errorf("%s, %q: %q, %v", user, password, got, err)
	}
}

// The users of this machine: right, wrong, unknown, locked, run out, and with a
// password that must be changed.
func TestPAMUnix(t *testing.T) {
	helper := pamHelper(t)
	p := pamSource(t, helper, pamService(t, "auth required pam_unix.so", "account required pam_unix.so"))
	user := machineUser(t, "a")
	expectPAM(t, p, user, pamPassword, user)
	expectPAM(t, p, strings.ToUpper(user), pamPassword, user)
	expectPAM(t, p, user, "wrong", "")
	expectPAM(t, p, user, pamPassword+" ", "")
	expectPAM(t, p, user+"x", pamPassword, "")
	for suffix, change := range map[string][]string{
		"l": {"usermod", "--lock"}, "e": {"usermod", "--expiredate", "1970-01-02"}, "c": {"chage", "--lastday", "0"},
		"n": {"passwd", "--quiet", "--delete"},
	} {
		other := machineUser(t, suffix)
		expectPAM(t, p, other, pamPassword, other)
		if _, err := run(t.Context(), nil, change[0], append(change[1:], other)...); err != nil {
			t.Fatal(err)
		}
		expectPAM(t, p, other, pamPassword, "")
		expectPAM(t, p, other, "", "")
	}

	// Who may not read the shadow file cannot tell; that is an outage.
	service := pamService(t, "auth required pam_unix.so", "account required pam_unix.so")
	code, _, said := rawPAM(t, helper, []byte(service+"\x00"+user+"\x00"+pamPassword+"\x00\x00"), 65534)
	if code != 111 || strings.Contains(said, pamPassword) {
		t.Errorf("as nobody: exit code %d, %q", code, said)
	}
}

// rawPAM runs the helper with a request, right or not.
func rawPAM(t *testing.T, helper string, request []byte, uid uint32) (code int, answer, said string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.CommandContext(t.Context(), helper)
	var stdout, stderr strings.Builder
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []*os.File{r}, &stdout, &stderr
	cmd.Env = []string{}
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	_, err = w.Write(request)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func TestPAMPasswordFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(file, []byte("bob@example.org:"+pamHash+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := pamSource(t, pamHelper(t), pamService(t,
		"auth required pam_pwdfile.so pwdfile="+file, "account required pam_permit.so"))
	expectPAM(t, p, "bob@example.org", pamPassword, "bob@example.org")
	expectPAM(t, p, "Bob@Example.ORG", pamPassword, "bob@example.org")
	expectPAM(t, p, "bob@example.org", "wrong", "")
	expectPAM(t, p, "alice@example.org", pamPassword, "")
}

// Every answer that a module can give, by PAM's own module for that.
func TestPAMAnswers(t *testing.T) {
	helper := pamHelper(t)
	for _, tt := range []struct {
		auth, account   string
		proved, refused bool
	}{
		{"success", "success", true, false},
		{"auth_err", "success", false, true},
		{"user_unknown", "success", false, true},
		{"maxtries", "success", false, true},
		{"perm_denied", "success", false, true},
		{"success", "acct_expired", false, true},
		{"success", "new_authtok_reqd", false, true},
		{"success", "authtok_expired", false, true},
		{"success", "perm_denied", false, true},
		{"success", "user_unknown", false, true},
		{"authinfo_unavail", "success", false, false},
		{"system_err", "success", false, false},
		{"service_err", "success", false, false},
		{"cred_insufficient", "success", false, false},
		{"buf_err", "success", false, false},
		{"conv_err", "success", false, false},
		{"abort", "success", false, false},
		{"success", "authinfo_unavail", false, false},
		{"success", "system_err", false, false},
	} {
		p := pamSource(t, helper, pamService(t, "auth required pam_debug.so auth="+tt.auth, "account required pam_debug.so acct="+tt.account))
		account, err := pamLogin(t, p, "bob", pamPassword)
		if (account == "bob" && err == nil) != tt.proved || errors.Is(err, sasl.ErrRefused) != tt.refused {
			t.Errorf("auth=%s acct=%s: %q, %v", tt.auth, tt.account, account, err)
		}
	}
	for name, lines := range map[string][]string{
		"no module for passwords": {"auth required pam_no_such.so", "account required pam_permit.so"},
		"no module for accounts":  {"auth required pam_permit.so", "account required pam_no_such.so"},
	} {
		if account, err := pamLogin(t, pamSource(t, helper, pamService(t, lines...)), "bob", "x"); err == nil || errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%s: %q, %v", name, account, err)
		}
	}
}

// What a module gets to see, and that nobody waits for PAM's delays.
func TestPAMItems(t *testing.T) {
	helper := pamHelper(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "note")
	text := "#!/bin/sh\n{ echo \"$PAM_USER $PAM_RHOST $PAM_TTY $PAM_SERVICE\"; cat; } >'" + dir + "/seen'\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	service := pamService(t, "auth required pam_exec.so quiet expose_authtok "+script, "account required pam_permit.so")
	expectPAM(t, pamSource(t, helper, service), "bob", pamPassword, "bob")
	seen, err := os.ReadFile(filepath.Join(dir, "seen"))
	if want := "bob 192.0.2.7 postwain " + service + "\n" + pamPassword; err != nil || strings.TrimRight(string(seen), "\x00\n") != want {
		t.Errorf("a module sees %q, %v", seen, err)
	}

	p := pamSource(t, helper, pamService(t, "auth optional pam_faildelay.so delay=60000000", "auth required pam_deny.so"))
	began := time.Now()
	expectPAM(t, p, "bob", pamPassword, "")
	if d := time.Since(began); d > 30*time.Second {
		t.Errorf("refused after %v", d)
	}
}

// Requests that are none, and a helper with rights that it must not have.
func TestPAMHelperMisused(t *testing.T) {
	helper := pamHelper(t)
	service := pamService(t, "auth required pam_permit.so", "account required pam_permit.so")
	ok := service + "\x00bob\x00pw\x00\x00"
	for _, request := range []string{
		"", "x", "\x00", "\x00\x00\x00\x00", ok[:len(ok)-1], ok + "x", ok + "\x00", service + "\x00\x00pw\x00\x00",
		"../pam.d/" + ok, "." + ok, " " + ok, strings.Repeat("s", 65) + "\x00bob\x00pw\x00\x00",
		service + "\x00bob\x00" + strings.Repeat("p", 4096) + "\x00\x00", strings.Repeat("x", 5000),
	} {
		if code, answer, said := rawPAM(t, helper, []byte(request), 0); code != 2 || answer != "" || strings.Contains(said, "pw") {
			t.Errorf("%.60q: exit code %d, %q, %q", request, code, answer, said)
		}
	}
	if code, answer, said := rawPAM(t, helper, []byte(ok), 65534); code != 0 || answer != "bob" {
		t.Errorf("exit code %d, %q, %q", code, answer, said)
	}
	if err := os.Chmod(helper, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if code, answer, said := rawPAM(t, helper, []byte(ok), 65534); code != 2 || answer != "" {
		t.Errorf("set-user-ID: exit code %d, %q, %q", code, answer, said)
	}
}

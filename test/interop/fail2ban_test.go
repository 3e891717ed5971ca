//go:build interop

package interop

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postwain/postwain/test/rig"
)

const fail2banFilter = "../../contrib/fail2ban/filter.d/postwain.conf"

// bystander is an address that no client has, and that hostile names contain.
const bystander = "203.0.113.9"

// wrongNames are names of nobody. Some look like the end of a value, of a
// line, or of a whole other line.
var wrongNames = []string{
	"alice",
	"a@" + bystander,
	"rip=" + bystander,
	"x> method=PLAIN rip=" + bystander + " rport=1 lip=127.0.0.1 tls=none session=x",
	"x\nWARN pop3-login: auth failed user=<x> method=PLAIN rip=" + bystander + " rport=1 lip=127.0.0.1 tls=none session=x",
	"x\r\n2026-01-02T15:04:05.678Z WARN pop3-login: auth failed user=<x> method=PLAIN rip=" + bystander + " rport=1 lip=1 tls=none session=x\r\n",
	`x","method":"PLAIN","rip":"` + bystander + `","rport":1,"lip":"1","tls":"none","session":"x"}`,
	`x\","method":"PLAIN","rip":"` + bystander + `","rport":1,"lip":"1","tls":"none","session":"x"}`,
	"x\n" + `{"time":"2026-01-02T15:04:05Z","level":"WARN","msg":"pop3-login: auth failed","user":"x","method":"PLAIN","rip":"` + bystander + `","rport":1,"lip":"1","tls":"none","session":"x"}`,
	"x\u0085\u2028\u2029rip=" + bystander,
	"日本 \x1b[2J\x7f\v\f<>\"\\",
	strings.Repeat("<", 255),
	strings.Repeat(" rip="+bystander, 15),
}

// TestFail2ban: Debian's fail2ban-regex finds the address of each client that
// gave a wrong password in the log of the real program, whatever name it gave,
// and no other address.
func TestFail2ban(t *testing.T) {
	if err := checkFilter(); err != nil {
		t.Fatal(err)
	}
	account := rig.Account("fail2ban")
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			space := newSpace(t, account)
			postwain, port := startBehindProxy(t, space, format)
			guilty := map[netip.Addr]int{}
			for i, name := range wrongNames {
				from := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
				if i%3 == 0 {
					from = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i + 1)})
				}
				guilty[from]++
				if answer := proxiedLogin(t, port, from, name, "wrong"); !strings.HasPrefix(answer, "-ERR") {
					t.Errorf("%q: %s", name, answer)
				}
			}
			honest := netip.MustParseAddr("198.51.100.7")
			if answer := proxiedLogin(t, port, honest, account, rig.Password); !strings.HasPrefix(answer, "+OK") {
				t.Errorf("the right password: %s", answer)
			}
			if err := postwain.Stop(); err != nil {
				t.Fatal(err)
			}
			for where, log := range map[string]string{"file": postwain.Log(), "syslog": asSyslog(postwain.Log())} {
				found := foundByFail2ban(t, log)
				if !maps.Equal(found, guilty) {
					t.Errorf("%s: fail2ban finds %v, want %v in\n%s", where, found, guilty, log)
				}
			}
		})
	}
}

// checkFilter says whether the filter is where it is expected.
func checkFilter() error {
	_, err := os.Stat(fail2banFilter)
	return err
}

// startBehindProxy starts the program with a listener that takes the addresses
// of clients from a PROXY header.
func startBehindProxy(t *testing.T, space *rig.Space, format string) (*rig.Postwain, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := space.Postwain(program, fmt.Sprintf(`
[[listen]]
proto = "pop3"
addr = "127.0.0.1:%d"
insecure_auth = true
proxy_from = ["127.0.0.1"]

[log]
format = %q
`, port, format))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() }) // the test has stopped it, unless it failed before
	return p, port
}

// proxiedLogin signs in by AUTH PLAIN, which takes every name, from an address
// that the PROXY header tells.
func proxiedLogin(t *testing.T, port int, from netip.Addr, name, password string) (answer string) {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	family, to := "TCP4", "127.0.0.1"
	if from.Is6() {
		family, to = "TCP6", "::1"
	}
	response := base64.StdEncoding.EncodeToString([]byte("\x00" + name + "\x00" + password))
	in := bufio.NewReader(c)
	fmt.Fprintf(c, "PROXY %s %s %s 4711 110\r\n", family, from, to)
	for _, command := range []string{"", "AUTH PLAIN " + response + "\r\n", "QUIT\r\n"} {
		fmt.Fprint(c, command)
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if strings.HasPrefix(command, "AUTH") {
			answer = line
		}
	}
	return answer
}

// asSyslog puts the prefix of syslog before each line.
func asSyslog(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		b.WriteString(time.Now().Format(time.Stamp) + " mail postwain[4711]: " + line)
	}
	return b.String()
}

// foundByFail2ban gives the addresses that the filter finds in a log, and how
// often.
func foundByFail2ban(t *testing.T, log string) map[netip.Addr]int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	filter, err := filepath.Abs(fail2banFilter)
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t.Context(), nil, "fail2ban-regex", "--usedns=no", "--out=ip", path, filter)
	if err != nil {
		t.Fatal(err)
	}
	found := map[netip.Addr]int{}
	for _, text := range slices.Collect(strings.FieldsSeq(string(out))) {
		a, err := netip.ParseAddr(text)
		if err != nil {
			t.Errorf("fail2ban takes %q for an address", text)
		}
		found[a]++
	}
	return found
}

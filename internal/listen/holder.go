package listen

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// holder tells which process listens at a TCP address, as far as /proc tells
// this user, in the form " by dovecot (process 123)". It is empty otherwise.
func holder(address string) string {
	wanted, err := netip.ParseAddrPort(strings.Replace(address, "localhost:", "127.0.0.1:", 1))
	if err != nil {
		_, port, _ := strings.Cut(address, ":")
		if wanted, err = netip.ParseAddrPort("0.0.0.0:" + port); err != nil {
			return ""
		}
	}
	for _, inode := range listening(wanted) {
		link := "socket:[" + inode + "]"
		fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // only a bad pattern is an error
		i := slices.IndexFunc(fds, func(fd string) bool {
			to, err := os.Readlink(fd)
			return err == nil && to == link
		})
		if i < 0 {
			continue
		}
		pid := strings.Split(fds[i], "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err == nil {
			return fmt.Sprintf(" by %q (process %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return ""
}

// listening gives the inodes of the sockets that are in the way of an address.
func listening(wanted netip.AddrPort) []string {
	const stateListen = "0A"
	var inodes []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(data) {
			f := strings.Fields(string(line))
			if len(f) < 10 || f[3] != stateListen {
				continue
			}
			at, ok := parseHex(f[1])
			if !ok || at.Port() != wanted.Port() {
				continue
			}
			if at.Addr() == wanted.Addr() || at.Addr().IsUnspecified() || wanted.Addr().IsUnspecified() {
				inodes = append(inodes, f[9])
			}
		}
	}
	return inodes
}

// parseHex reads the kernel's form of an address: words in the byte order of
// the machine, and the port as a number.
func parseHex(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	words, err := hex.DecodeString(host)
	number, err2 := hex.DecodeString(port)
	if err != nil || err2 != nil || len(words)%4 != 0 || len(number) != 2 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(words); i += 4 {
		binary.BigEndian.PutUint32(words[i:], binary.NativeEndian.Uint32(words[i:]))
	}
	ip, ok := netip.AddrFromSlice(words)
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(number)), ok
}

//go:build linux

package rig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// strangers are the packages of the servers that an annex has, with what they
// need.
var strangers = []string{
	"courier-pop", "courier-base", "courier-authlib", "courier-authdaemon", "libcourier-unicode4", "libltdl7",
	"cyrus-common", "cyrus-pop3d", "libclamav12", "libical3", "libmspack0", "libpcre3", "libsigsegv2", "libxapian30", "libzephyr4",
	"mailutils-pop3d", "mailutils-common", "libmailutils9", "libmu-dbm9", "guile-3.0-libs", "libgc1", "libkyotocabinet16v5", "liblzo2-2", "libmariadb3",
	"popa3d",
	"solid-pop3d", "liblockfile1",
}

// StrangersUser is the user, with [Password], whose mail the servers of
// [NewStrangers] serve.
const StrangersUser = "carol"

// Strangers are Debian's other POP3 servers, in an annex.
type Strangers struct{ *Annex }

// NewStrangers fetches and unpacks the servers. None of them runs yet.
func NewStrangers() (Strangers, error) {
	a, err := NewAnnex(strangers...)
	if err != nil {
		return Strangers{}, err
	}
	s := Strangers{a}
	if err := s.makeUsers(); err != nil {
		return s, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s Strangers) makeUsers() error {
	for _, name := range []string{"courier", "popa3d", "spop3d"} {
		if err := s.Run("useradd", "--system", name); err != nil {
			return err
		}
	}
	if err := s.Run("useradd", "--system", "--gid", "mail", "--home-dir", "/var/spool/cyrus", "cyrus"); err != nil {
		return err
	}
	if err := s.Run("useradd", "--create-home", StrangersUser); err != nil {
		return err
	}
	cmd := s.Command("chpasswd")
	cmd.Stdin = strings.NewReader(StrangersUser + ":" + Password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rig: chpasswd: %w\n%s", err, out)
	}
	return nil
}

// Maildir is the path of the Maildir that Courier and solid-pop3d serve, and
// Mbox that of the mbox of popa3d and mailutils. Settle them before they serve.
func (s Strangers) Maildir() string { return s.Path("home/" + StrangersUser + "/Maildir") }

// Mbox: see Maildir.
func (s Strangers) Mbox() string { return s.Path("var/mail/" + StrangersUser) }

// Settle gives mail that was put into the Maildir or the mbox to its user.
func (s Strangers) Settle() error {
	return s.Run("sh", "-c", `touch /var/mail/"$0"; chown -R "$0:mail" /home/"$0" /var/mail/"$0"`, StrangersUser)
}

// write writes a file of the annex.
func (s Strangers) write(path, text string) error {
	return os.WriteFile(s.Path(path), []byte(text), 0o644)
}

// Courier starts Courier's server with its daemon for passwords, and gives its
// port.
func (s Strangers) Courier() (port int, err error) {
	const dir = "/run/courier/authdaemon"
	if err := os.MkdirAll(s.Path(dir), 0o755); err != nil {
		return 0, err
	}
	daemon := `set -a; . /etc/courier/authdaemonrc; LD_LIBRARY_PATH=/usr/lib/courier-authlib exec /usr/lib/courier/courier-authlib/authdaemond`
	if err := s.Start("unix", dir+"/socket", "sh", "-c", daemon); err != nil {
		return 0, err
	}
	session := `set -a; . /etc/courier/pop3d; exec /usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d Maildir`
	return s.Inetd("TCPREMOTEIP=127.0.0.1", "TCPREMOTEPORT=1", "TCPLOCALIP=127.0.0.1", "TCPLOCALPORT=110", "sh", "-c", session)
}

// Solid starts solid-pop3d on the Maildir and gives its port.
func (s Strangers) Solid() (port int, err error) {
	err = s.write("etc/spop3d.conf", "<Global>\n\tMailDropName \"/home/%s/Maildir\"\n\tMailDropType maildir\n</Global>\n")
	if err != nil {
		return 0, err
	}
	return s.Inetd("solid-pop3d")
}

// Popa3d starts popa3d and gives its port.
func (s Strangers) Popa3d() (port int, err error) { return s.Inetd("popa3d") }

// Mailutils starts GNU mailutils' pop3d and gives its port.
func (s Strangers) Mailutils() (port int, err error) {
	return s.Inetd("pop3d", "--inetd", "--foreground")
}

// Cyrus starts Cyrus. It takes mail for [StrangersUser] by LMTP on the socket.
func (s Strangers) Cyrus() (port int, socket string, err error) {
	ports, err := freePorts(1)
	if err != nil {
		return 0, "", err
	}
	socket = "/run/cyrus/lmtp"
	err = errors.Join(
		s.write("etc/imapd.conf", `configdirectory: /var/lib/cyrus
partition-default: /var/spool/cyrus/mail
defaultpartition: default
allowplaintext: yes
sasl_mech_list: PLAIN
sasl_pwcheck_method: alwaystrue
autocreate_quota: 0
autocreate_post: yes
autocreate_users: anyone
popminpoll: 0
sievedir: /var/lib/cyrus/sieve
lmtpsocket: `+socket+`
`),
		s.write("etc/cyrus.conf", fmt.Sprintf(`START { recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -r" }
SERVICES {
  pop3 cmd="/usr/lib/cyrus/bin/pop3d" listen="127.0.0.1:%d" proto="tcp4"
  lmtp cmd="/usr/lib/cyrus/bin/lmtpd -a" listen="%s"
}
`, ports[0], socket)),
	)
	if err != nil {
		return 0, "", err
	}
	dirs := `mkdir -p /var/lib/cyrus /var/spool/cyrus/mail /run/cyrus
chown -R cyrus:mail /var/lib/cyrus /var/spool/cyrus /run/cyrus
su -s /bin/sh cyrus -c /usr/lib/cyrus/bin/makedirs`
	if err := s.Run("sh", "-c", dirs); err != nil {
		return 0, "", err
	}
	master := []string{"/usr/lib/cyrus/bin/master", "-D", "-C", "/etc/imapd.conf", "-M", "/etc/cyrus.conf"}
	return ports[0], s.Path(socket), s.Start("unix", filepath.Join("/", socket), master...)
}

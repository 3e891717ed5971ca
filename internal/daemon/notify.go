package daemon

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// notifier tells the service manager what the server does (sd_notify(3)). The
// zero notifier tells nobody.
type notifier struct {
	conn     net.Conn
	watchdog time.Duration // how often to say that all is well; 0: never
}

// newNotifier asks the environment who wants to know.
func newNotifier(getenv func(string) string) (notifier, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return notifier{}, nil
	}
	conn, err := net.Dial("unixgram", path) // "@" begins an abstract name
	if err != nil {
		return notifier{}, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	n := notifier{conn: conn}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	pid := getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(usec) * time.Microsecond / 2
	}
	return n, nil
}

// tell sends a state. A manager that does not listen is no reason to stop.
func (n notifier) tell(state string) {
	if n.conn != nil {
		_, _ = n.conn.Write([]byte(state))
	}
}

func (n notifier) ready(status string) { n.tell("READY=1\nSTATUS=" + status) }

func (n notifier) reloading() {
	n.tell("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(monotonic().Microseconds(), 10))
}

func (n notifier) stopping() { n.tell("STOPPING=1") }

// heartbeat is a channel that ticks when the watchdog is due, or nil, and a
// function that ends it.
func (n notifier) heartbeat() (<-chan time.Time, func()) {
	if n.watchdog <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(n.watchdog)
	return t.C, t.Stop
}

func (n notifier) close() error {
	if n.conn == nil {
		return nil
	}
	return n.conn.Close()
}

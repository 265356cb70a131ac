package load

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// time.Sleep wakes up to a millisecond late when the process is otherwise idle,
// because the runtime then waits in epoll, whose timeout is in milliseconds. An
// open loop needs better than that at low rates.

// prepareSleep makes sleep precise on the calling thread: the kernel would else
// delay its timers by up to 50 µs.
func prepareSleep() {
	// Without the precision sleep still works, and the report shows the lag.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

// sleep rests for d or, after a signal, for less.
func sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}

// choosePortLate is for net.Dialer.Control: the local port is chosen when the
// connection is made, and may be one that goes elsewhere too. Else the system
// looks for a port that nobody has, which takes it a millisecond and more when
// there are thousands of connections.
func choosePortLate(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	if err != nil {
		return err
	}
	return failed
}

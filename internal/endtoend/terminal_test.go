package endtoend

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal starts a chat as if somebody had typed the command: its input is a terminal.
func terminal(t *testing.T, args ...string) *chatter {
	t.Helper()
	c := &chatter{t: t, changed: make(chan struct{}, 1)}
	c.cmd = prepare(t.Context(), t, append([]string{"chat"}, args...)...)
	c.cmd.Stdout, c.cmd.Stderr = c, c
	keyboard, screen := openTerminal(t)
	c.input, c.cmd.Stdin = keyboard, screen
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // so that Ctrl-C is for the chat
	c.start()
	return c
}

// openTerminal gives both ends of a terminal.
func openTerminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

// start starts the chat, for the life of the test.
func (c *chatter) start() {
	c.t.Helper()
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
}

// interrupted ends the chat by the Ctrl-C that somebody types.
func (c *chatter) interrupted() error {
	c.t.Helper()
	if _, err := c.input.Write([]byte{3}); err != nil {
		c.t.Fatal(err)
	}
	return c.cmd.Wait()
}

// status gives the exit status that an error tells of.
func status(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return -1
}

package soak

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// What an app writes down about a client, and what the numbers of the line are.
const (
	life     = "life"     // the app began: its process
	offered  = "offered"  // a message is about to be given to the client: its id
	taken    = "taken"    // the client said that it takes it: its id
	acked    = "acked"    // the app was told its place: its id, seq
	lost     = "lost"     // the app was told that it has none: its id; then why
	begun    = "begun"    // a message was given to the app: sender, id, seq
	refused  = "refused"  // the app sent it back: sender, id
	done     = "done"     // the app is through with it: sender, id
	caughtUp = "caughtup" // everything from before is there
	closed   = "closed"   // the client ended in order
	trouble  = "trouble"  // what must not happen: words
)

// counts says how many numbers a line has.
var counts = map[string]int{
	life: 1, offered: 1, taken: 1, acked: 2, lost: 1, begun: 3, refused: 2, done: 2, caughtUp: 0, closed: 0, trouble: 0,
}

// line is a line of a diary.
type line struct {
	what    string
	numbers [3]uint64
	words   string
}

// diary is the file that an app appends to. Safe for concurrent use.
type diary struct {
	mu   sync.Mutex
	file *os.File
}

// diaryFile names the diary of a user.
func diaryFile(dir string, user uint64) string {
	return filepath.Join(dir, fmt.Sprintf("user-%d.diary", user))
}

// openDiary opens a diary for more, and gives the highest id that was offered.
func openDiary(dir string, user uint64) (d *diary, last uint64, err error) {
	lines, err := readDiary(dir, user)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	for _, l := range lines {
		if l.what == offered {
			last = max(last, l.numbers[0])
		}
	}
	f, err := os.OpenFile(diaryFile(dir, user), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(f)
	if err == nil { // what a kill cut off is no beginning for the next line
		err = f.Truncate(int64(bytes.LastIndexByte(data, '\n') + 1))
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return &diary{file: f}, last, nil
}

// note appends a line and returns once it is on disk.
func (d *diary) note(what string, words string, numbers ...uint64) error {
	b := []byte(what)
	for _, n := range numbers {
		b = append(b, ' ')
		b = strconv.AppendUint(b, n, 10)
	}
	if words != "" {
		b = append(append(b, ' '), strings.ReplaceAll(words, "\n", " ")...)
	}
	b = append(b, '\n')
	d.mu.Lock()
	_, err := d.file.Write(b) // one write, which a kill does not cut
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return d.file.Sync()
}

// readDiary reads a diary to the end of its last whole line.
func readDiary(dir string, user uint64) ([]line, error) {
	data, err := os.ReadFile(diaryFile(dir, user))
	if err != nil {
		return nil, err
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	var lines []line
	for text := range strings.Lines(string(data)) {
		l, err := parse(strings.TrimSuffix(text, "\n"))
		if err != nil {
			return nil, fmt.Errorf("the diary of user %d: %w", user, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func parse(text string) (l line, err error) {
	l.what, text, _ = strings.Cut(text, " ")
	n, ok := counts[l.what]
	if !ok {
		return l, fmt.Errorf("a line begins with %q", l.what)
	}
	for i := range n {
		var number string
		number, text, _ = strings.Cut(text, " ")
		if l.numbers[i], err = strconv.ParseUint(number, 10, 64); err != nil {
			return l, fmt.Errorf("a line of kind %s: %w", l.what, err)
		}
	}
	l.words = text
	return l, nil
}

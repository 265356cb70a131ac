package scenario

import (
	"bytes"
	"regexp"
	"strconv"
	"sync"
)

// logLines counts the lines that a server writes to stderr, by their reason. Safe for
// concurrent use.
type logLines struct {
	mu      sync.Mutex
	partial []byte
	count   map[string]int
}

// maxReason is how much of a line without a message is its reason.
const maxReason = 60

var (
	message = regexp.MustCompile(`\bmsg=("(?:[^"\\]|\\.)*"|\S+)`)
	numbers = regexp.MustCompile(`[0-9]+`)
)

// Write never fails.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == nil {
		l.count = make(map[string]int)
	}
	l.partial = append(l.partial, p...)
	for {
		end := bytes.IndexByte(l.partial, '\n')
		if end < 0 {
			return len(p), nil
		}
		l.count[reason(l.partial[:end])]++
		l.partial = append(l.partial[:0], l.partial[end+1:]...)
	}
}

// reason gives what a line is about: its message without numbers, or how it begins.
func reason(line []byte) string {
	text := string(line[:min(len(line), maxReason)])
	if m := message.FindSubmatch(line); m != nil {
		text = string(m[1])
		if plain, err := strconv.Unquote(text); err == nil {
			text = plain
		}
	}
	return numbers.ReplaceAllString(text, "N")
}

// reset forgets what was counted.
func (l *logLines) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.count)
}

// read gives how many lines there were, and the reason that most of them have.
func (l *logLines) read() (lines int, loudest string, said int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for why, n := range l.count {
		lines += n
		if n > said || n == said && why < loudest {
			loudest, said = why, n
		}
	}
	return lines, loudest, said
}

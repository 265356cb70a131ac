package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	gannet "gannet/sdk/go"
)

// historyTimeout is how long the history may take at the start of a chat.
const historyTimeout = 5 * time.Second

// shownLine is how many letters of a line are shown again when its outcome is known.
const shownLine = 40

// errOtherUser is the answer to every message if the token is another user's. So the messages of
// that user stay unacked.
var errOtherUser = errors.New("the token is another user's")

// screen shows a chat: messages on out; outcomes of lines and changes of the connection on notes.
// Its hooks are called one at a time, and the input is read concurrently.
type screen struct {
	user    uint64 // who chats, 0: whoever the token says
	to      uint64
	byHand  bool // each line's ack is shown; in a pipe they are summed up
	history int  // lines of history to show at the start
	ready   chan struct{}

	posting sync.Mutex // held while a line is given to the client

	mu     sync.Mutex
	out    io.Writer
	notes  io.Writer
	said   map[uint64]string // lines that have no outcome, by id
	giving bool              // a line is given to the client, its id is not known yet
	early  []gannet.Outcome  // outcomes that came while giving; one may be that line's
	acked  int               // lines
	lost   int               // lines that were not sent
	unread []placed          // lines that are acked and that the other has not read
	read   uint64            // the seq up to which the other has read
	shown  uint64            // the highest seq of the chat that is shown
	missed []gannet.Message  // messages that came before the history is shown; they are shown after it
	past   bool              // the history is shown, or is not to be had
	away   bool              // the connection was lost
}

// placed is a line that has its place.
type placed struct {
	seq  uint64
	text string
}

func newScreen(user, to uint64, byHand bool, out, notes io.Writer) *screen {
	return &screen{
		user: user, to: to, byHand: byHand, out: out, notes: notes,
		ready: make(chan struct{}), said: make(map[uint64]string),
	}
}

// notef shows a line about the chat.
func (s *screen) notef(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.notes, format+"\n", args...)
}

// give has a line sent by post, which gives the id that the client chose.
func (s *screen) give(text string, post func() (uint64, error)) error {
	s.posting.Lock()
	defer s.posting.Unlock()
	s.mu.Lock()
	s.giving = true
	s.mu.Unlock()
	id, err := post()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.fail(text, err)
	} else {
		s.said[id] = text
	}
	for _, o := range s.early {
		s.tell(o)
	}
	s.giving, s.early = false, nil
	return err
}

// failed says that a line is not sent.
func (s *screen) failed(text string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail(text, why)
}

// fail is failed for who holds mu.
func (s *screen) fail(text string, why error) {
	s.lost++
	fmt.Fprintf(s.notes, "! not sent: %s (%v)\n", brief(text), why)
}

// sum ends the chat, after its client is closed. It waits for a line that is just being given to
// the client. The error says how many lines were not sent.
func (s *screen) sum() error {
	s.posting.Lock()
	defer s.posting.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.byHand && s.acked > 0 {
		fmt.Fprintf(s.notes, "* lines acked: %d\n", s.acked)
	}
	if s.lost > 0 {
		return fmt.Errorf("lines that were not sent: %d", s.lost)
	}
	return nil
}

// mostMissed bounds the messages that wait until the history is shown.
const mostMissed = 1000

// message is the hook. Messages that come before the client has caught up are shown after the
// history.
func (s *screen) message(ctx context.Context, c *gannet.Client, m gannet.Message) error {
	if s.user != 0 && c.User() != s.user {
		return errOtherUser
	}
	if !s.past && s.history > 0 {
		if s.missed = append(s.missed, m); len(s.missed) == mostMissed {
			s.showPast(ctx, c)
		}
		return nil
	}
	return s.display(c, m)
}

// display shows a message and marks it as read.
func (s *screen) display(c *gannet.Client, m gannet.Message) error {
	ours := m.Conversation == gannet.User(s.to)
	s.mu.Lock()
	if !ours || m.Seq > s.shown { // the history may have had it
		s.show(c, m)
	}
	if ours {
		s.shown = max(s.shown, m.Seq)
	}
	s.mu.Unlock()
	if m.Sender == c.User() {
		return nil
	}
	if err := c.MarkRead(m.Conversation, m.Seq); err != nil && !errors.Is(err, gannet.ErrClosed) {
		return err
	}
	return nil
}

// show prints a message. The caller holds mu.
func (s *screen) show(c *gannet.Client, m gannet.Message) {
	from := fmt.Sprint(m.Sender)
	if m.Sender == c.User() {
		from = "me, elsewhere"
		if !s.past {
			from = "me"
		}
	}
	if m.Conversation != gannet.User(s.to) {
		from += " (another chat)"
	}
	text := plain(m.Text())
	if m.Content != gannet.ContentText {
		text = fmt.Sprintf("[no text, %d bytes]", len(m.Body))
	}
	fmt.Fprintf(s.out, "%s %s: %s\n", m.Time.Format(time.TimeOnly), from, text)
}

// showPast shows the history, oldest first, then the messages that waited for it, and lets the
// input begin. Only the first call does anything.
func (s *screen) showPast(ctx context.Context, c *gannet.Client) {
	if s.past { // only hooks write past, so mu is not needed
		return
	}
	missed := s.missed
	s.missed = nil
	lines, failed := s.lines(ctx, c, missed)
	slices.Reverse(lines)
	for _, m := range append(lines, missed...) {
		failed = errors.Join(failed, s.display(c, m))
	}
	s.begin(failed)
}

// lines gives the lines of history before the missed messages, newest first. The user's own lines
// among the missed ones count as history, so there are that many fewer.
func (s *screen) lines(ctx context.Context, c *gannet.Client, missed []gannet.Message) (lines []gannet.Message, failed error) {
	room, before := s.history, []gannet.HistoryOption(nil)
	for _, m := range missed {
		if m.Conversation == gannet.User(s.to) {
			if before == nil {
				before = []gannet.HistoryOption{gannet.Before(m.Seq)}
			}
			if m.Sender == c.User() {
				room--
			}
		}
	}
	if room <= 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	for m, err := range c.History(ctx, gannet.User(s.to), append(before, gannet.Limit(room))...) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, m)
	}
	return lines, nil
}

// begin lets the input begin. A reason (without) means that the history could not be shown.
func (s *screen) begin(without error) {
	if s.past {
		return
	}
	if without != nil && s.history > 0 {
		s.notef("! no history: %v", without)
	}
	s.past = true
	close(s.ready)
}

// outcome is the hook. It also hears of lines that an earlier chat left in the store.
func (s *screen) outcome(_ context.Context, _ *gannet.Client, o gannet.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ours := s.said[o.ID]; !ours && s.giving {
		s.early = append(s.early, o)
		return
	}
	s.tell(o)
}

// tell says what became of a line. The caller holds mu.
func (s *screen) tell(o gannet.Outcome) {
	text, ours := s.said[o.ID]
	delete(s.said, o.ID)
	if !ours {
		text = "a line of the chat before"
	}
	switch {
	case o.Err != nil:
		s.fail(text, o.Err)
		return
	case s.byHand || !ours:
		fmt.Fprintf(s.notes, "* acked: %s\n", brief(text))
	}
	s.acked++
	if o.To == gannet.User(s.to) {
		s.unread = append(s.unread, placed{o.Ack.Seq, text})
		s.tellRead()
	}
}

// receipt is the hook.
func (s *screen) receipt(_ context.Context, c *gannet.Client, r gannet.Receipt) {
	if r.Conversation != gannet.User(s.to) || r.User != s.to || r.User == c.User() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = max(s.read, r.Read)
	s.tellRead()
}

// tellRead says which lines the other has read meanwhile. The caller holds mu.
func (s *screen) tellRead() {
	var last placed
	n := 0
	s.unread = slices.DeleteFunc(s.unread, func(line placed) bool {
		read := line.seq <= s.read
		if read {
			n++
			if line.seq > last.seq {
				last = line
			}
		}
		return read
	})
	switch n {
	case 0: // only lines sent elsewhere or before were read
	case 1:
		fmt.Fprintf(s.notes, "* read by %d: %s\n", s.to, brief(last.text))
	default:
		fmt.Fprintf(s.notes, "* read by %d: %s, and %d lines before it\n", s.to, brief(last.text), n-1)
	}
}

// event is the hook.
func (s *screen) event(ctx context.Context, c *gannet.Client, e gannet.Event) {
	if s.user != 0 && c.User() != s.user {
		return // the chat ends
	}
	switch e.Kind {
	case gannet.EventConnected:
		if s.away {
			s.notef("* connected again")
		} else {
			s.notef("* connected as user %d, chatting with %d", c.User(), s.to)
		}
	case gannet.EventLost:
		s.away = true
		why := e.Err
		if errors.Is(why, io.EOF) {
			why = errors.New("the server is gone")
		}
		s.notef("* connection lost, trying again (%v)", why)
		for _, m := range s.missed {
			_ = s.display(c, m) // read marks wait until the connection is back
		}
		s.missed = nil
		s.begin(e.Err) // lines that are typed meanwhile are taken
	case gannet.EventHeld:
		s.notef("* the server takes no lines for %v, they wait here (%v)", e.Wait.Round(time.Millisecond), e.Err)
	case gannet.EventCaughtUp:
		s.showPast(ctx, c)
		s.catchUp(ctx, c)
	}
}

// catchUp asks what the other user has read while the client was away. No hook tells that.
func (s *screen) catchUp(ctx context.Context, c *gannet.Client) {
	s.mu.Lock()
	waiting := len(s.unread) > 0
	s.mu.Unlock()
	if !s.away || !waiting {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	list, _ := c.Conversations(ctx, math.MaxInt) // on an error only marks of what was read are missing
	for _, v := range list {
		if v.Target == gannet.User(s.to) {
			s.receipt(ctx, c, gannet.Receipt{Conversation: v.Target, User: s.to, Read: v.PeerRead})
		}
	}
}

// brief gives as much of a line as reminds of it.
func brief(text string) string {
	if runes := []rune(plain(text)); len(runes) > shownLine {
		return string(runes[:shownLine]) + "…"
	}
	return plain(text)
}

// plain turns text from another user into one line without control characters, so that it cannot
// affect the terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) || r == '\u200d' {
			return r
		}
		return '\ufffd'
	}, text)
}

package gannet

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// minJournal is the size below which a journal is not worth compacting.
const minJournal = 1 << 20

// FileStore is a Store in a directory: a journal to which every change is
// appended, compacted as it grows. What a crash has torn off its end is cut
// when it is opened; after the first failed write everything fails.
type FileStore struct {
	dir  string
	lock *os.File

	syncing sync.Mutex // held during fsync; before mu
	synced  uint64     // changes that are on disk; under syncing

	mu       sync.Mutex
	journal  *os.File
	size     int64  // of the journal
	limit    int64  // size at which it is compacted
	appended uint64 // changes in this process's life
	record   []byte // reused
	err      error  // the first failure
	saved    Saved  // without cursors
	cursors  map[Target]uint64
}

// NewFileStore opens the store in dir, making the directory when it is missing.
// It fails when another process, or another FileStore of this one, has it open.
func NewFileStore(dir string) (*FileStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("gannet: store: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("gannet: store %s is in use: %w", dir, err)
	}
	s := &FileStore{dir: dir, lock: lock, cursors: make(map[Target]uint64)}
	if err := s.open(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("gannet: store: %w", err)
	}
	return s, nil
}

// open reads the journal and cuts a torn end off.
func (s *FileStore) open() error {
	name := filepath.Join(s.dir, "journal")
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s.compact()
	}
	if err != nil {
		return err
	}
	if s.size, err = replay(data, s.apply); err != nil {
		return err
	}
	if err := os.Truncate(name, s.size); err != nil {
		return err
	}
	s.limit = max(minJournal, 2*s.size)
	s.journal, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	return err
}

// Load gives what is remembered.
func (s *FileStore) Load() (Saved, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := s.saved
	saved.Outgoing = slices.Clone(saved.Outgoing)
	for target, seq := range s.cursors {
		saved.Cursors = append(saved.Cursors, Cursor{Target: target, Seq: seq})
	}
	return saved, s.err
}

// SetDevice remembers the device id.
func (s *FileStore) SetDevice(id uint64) error {
	return s.append(change{kind: changeDevice, id: id})
}

// AddOutgoing appends a message to those that are not acked.
func (s *FileStore) AddOutgoing(m Outgoing) error {
	return s.append(change{kind: changeOutgoing, id: m.ClientID, target: m.Target, draft: m.Draft})
}

// RemoveOutgoing takes a message from those that are not acked.
func (s *FileStore) RemoveOutgoing(clientID uint64) error {
	return s.append(change{kind: changeEnded, id: clientID})
}

// SetReceived remembers how far conversations were received.
func (s *FileStore) SetReceived(cursors []Cursor) error {
	changes := make([]change, len(cursors))
	for i, cursor := range cursors {
		changes[i] = change{kind: changeCursor, target: cursor.Target, id: cursor.Seq}
	}
	return s.append(changes...)
}

// SetPosition remembers where the next sync begins.
func (s *FileStore) SetPosition(next uint64) error {
	return s.append(change{kind: changePosition, id: next})
}

// append writes changes to the journal without waiting for the disk.
func (s *FileStore) append(changes ...change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.record = s.record[:0]
	for _, ch := range changes {
		s.record = ch.append(s.record)
	}
	n, err := s.journal.Write(s.record)
	s.size += int64(n)
	if err != nil {
		s.err = err
		return err
	}
	for _, ch := range changes {
		s.apply(ch)
	}
	s.appended += uint64(len(changes))
	if s.size >= s.limit {
		s.err = s.compact()
	}
	return s.err
}

// Sync returns once everything appended before is on disk. Callers at the same
// time share one fsync.
func (s *FileStore) Sync() error {
	s.mu.Lock()
	want := s.appended
	s.mu.Unlock()
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if s.synced >= want {
		return nil
	}
	s.mu.Lock()
	journal, upTo, err := s.journal, s.appended, s.err
	s.mu.Unlock()
	if err != nil {
		return err
	}
	err = journal.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.journal == journal {
		// After a failed fsync nobody knows what is on disk.
		s.err = err
		return err
	}
	// Otherwise the journal was compacted meanwhile, which syncs.
	if s.err == nil {
		s.synced = upTo
	}
	return s.err
}

// Close closes the store. Nothing may use it any more.
func (s *FileStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = fs.ErrClosed
	}
	return errors.Join(s.journal.Close(), s.lock.Close())
}

// apply makes a change in memory.
func (s *FileStore) apply(ch change) {
	switch ch.kind {
	case changeDevice:
		s.saved.Device = ch.id
	case changeLastID:
		s.saved.LastID = ch.id
	case changePosition:
		s.saved.Position = ch.id
	case changeCursor:
		s.cursors[ch.target] = ch.id
	case changeOutgoing:
		s.saved.LastID = ch.id
		s.saved.Outgoing = append(s.saved.Outgoing, Outgoing{ClientID: ch.id, Target: ch.target, Draft: ch.draft})
	case changeEnded:
		i, found := slices.BinarySearchFunc(s.saved.Outgoing, ch.id, func(m Outgoing, id uint64) int {
			return cmp.Compare(m.ClientID, id)
		})
		if found {
			s.saved.Outgoing = slices.Delete(s.saved.Outgoing, i, i+1)
		}
	}
}

// compact writes what is remembered to a new journal, which takes the place of
// the old one once it is on disk.
func (s *FileStore) compact() error {
	b := append([]byte(nil), magic...)
	b = change{kind: changeDevice, id: s.saved.Device}.append(b)
	for target, seq := range s.cursors {
		b = change{kind: changeCursor, target: target, id: seq}.append(b)
	}
	for _, m := range s.saved.Outgoing {
		b = change{kind: changeOutgoing, id: m.ClientID, target: m.Target, draft: m.Draft}.append(b)
	}
	// LastID follows the messages that are not acked, above whose last id it may be.
	b = change{kind: changeLastID, id: s.saved.LastID}.append(b)
	b = change{kind: changePosition, id: s.saved.Position}.append(b)

	// Files are closed before the rename because Windows renames no open ones.
	name := filepath.Join(s.dir, "journal")
	if err := writeFile(name+".new", b); err != nil {
		return err
	}
	if s.journal != nil {
		s.journal.Close()
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	s.size, s.limit = int64(len(b)), max(minJournal, 2*int64(len(b)))
	var err error
	s.journal, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	return err
}

// writeFile makes a file that is on disk when it returns.
func writeFile(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

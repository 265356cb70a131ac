package gannet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// The journal of a FileStore is magic and then records: length u32, CRC-32C u32
// of the record, record. Integers are big-endian.
const (
	magic        = "gannet\x00\x02"
	recordHeader = 8
	maxRecord    = 128 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errNotJournal = errors.New("the journal is not one of a gannet client of this version")

// FileStore is a Store in a directory: a journal to which records are appended.
// What a crash has torn off its end is cut when it is opened, because it was not on
// disk yet. Damage with whole records behind it is an error that names the file and the
// offset: nothing is given up that may have been promised. After the first failed write
// everything fails.
type FileStore struct {
	dir  string
	lock *os.File

	syncing sync.Mutex // held during fsync; before mu
	synced  uint64     // appends that are on disk; under syncing

	mu       sync.Mutex
	journal  *os.File
	appended uint64 // appends in this process's life
	buf      []byte // reused
	err      error  // the first failure
	user     *Client
}

// enter gives the store to a client, leave takes it back; false: another one has it.
func (s *FileStore) enter(c *Client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.user != nil {
		return false
	}
	s.user = c
	return true
}

func (s *FileStore) leave(c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.user == c {
		s.user = nil
	}
}

// NewFileStore opens the store in dir, making the directory when it is missing.
// It fails with ErrStore when another process, or another FileStore of this one, has it
// open, and when the journal is damaged or is not one.
// Whoever opens a store closes it, after the client.
func NewFileStore(dir string) (*FileStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("%w: %s is in use: %w", ErrStore, dir, err)
	}
	s := &FileStore{dir: dir, lock: lock}
	if err := s.open(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return s, nil
}

// open cuts a torn end off the journal.
func (s *FileStore) open() error {
	name := filepath.Join(s.dir, "journal")
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s.replace(nil)
	}
	if err != nil {
		return err
	}
	whole, err := replay(name, data, func([]byte) error { return nil })
	if err != nil {
		return err
	}
	if err := os.Truncate(name, whole); err != nil {
		return err
	}
	s.journal, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	return err
}

// Load calls record with every record.
func (s *FileStore) Load(record func([]byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	name := filepath.Join(s.dir, "journal")
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	_, err = replay(name, data, record)
	return err
}

// Append adds records at the end of the journal without waiting for the disk.
func (s *FileStore) Append(records ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.buf = s.buf[:0]
	for _, r := range records {
		s.buf = appendRecord(s.buf, r)
	}
	if _, err := s.journal.Write(s.buf); err != nil {
		s.err = err
	}
	s.appended++
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
	// Otherwise the journal was replaced meanwhile, which syncs.
	if s.err == nil {
		s.synced = upTo
	}
	return s.err
}

// Rewrite puts a new journal in the place of the old one.
func (s *FileStore) Rewrite(records ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = s.replace(records)
	}
	s.appended++
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

// replace writes a new journal, which takes the place of the old one once it is
// on disk.
func (s *FileStore) replace(records [][]byte) error {
	b := []byte(magic)
	for _, r := range records {
		b = appendRecord(b, r)
	}
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

func appendRecord(dst, r []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(r)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(r, castagnoli))
	return append(dst, r...)
}

// replay calls record with the records of a journal and gives the length up to the first
// one that is torn, behind which there is no whole one.
func replay(name string, data []byte, record func([]byte) error) (int64, error) {
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		return 0, errNotJournal
	}
	n := len(magic)
	for n < len(data) {
		r, ok := recordAt(data[n:])
		if !ok {
			if next := nextRecord(data, n+1); next > 0 {
				return 0, fmt.Errorf("%s is damaged at offset %d, and whole again from %d on; cut there it would open without what follows", name, n, next)
			}
			break
		}
		if len(r) == 0 && allZero(data[n:]) {
			break // the file had grown on disk when what is in it had not arrived
		}
		if err := record(r); err != nil {
			return 0, err
		}
		n += recordHeader + len(r)
	}
	return int64(n), nil
}

// recordAt gives the record that data begins with.
func recordAt(data []byte) ([]byte, bool) {
	if len(data) < recordHeader {
		return nil, false
	}
	length, rest := binary.BigEndian.Uint32(data), data[recordHeader:]
	if length > maxRecord || int(length) > len(rest) {
		return nil, false
	}
	r := rest[:length]
	return r, crc32.Checksum(r, castagnoli) == binary.BigEndian.Uint32(data[4:])
}

// nextRecord gives the offset of a whole record, not an empty one, from offset on; 0 when
// there is none.
func nextRecord(data []byte, offset int) int {
	for ; offset < len(data); offset++ {
		if r, ok := recordAt(data[offset:]); ok && len(r) > 0 {
			return offset
		}
	}
	return 0
}

func allZero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}

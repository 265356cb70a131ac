package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/internal/operate"
	"gannet/protocol"
)

// The mark is a file beside the store's folder, <folder>.mark. It says what the store
// had reached, so that a start notices when something of it is gone: Pebble takes what
// it finds for all there was (a cut MANIFEST or write-ahead log, an empty folder) and
// deletes the tables that it knows nothing of.
//
// What it holds:
//
//	identity  of the store
//	commits   of each queue, as in commits.go, and the highest stamp
//	ceiling   no conversation has been given a seq above it
//	time      when it was written
//
// Two rules hold at every moment, whatever the machine forgets when it dies:
//
//   - commits and stamp are never ahead of what is durable: a commit is counted after
//     the sync of the write-ahead log that holds it has returned. So a store that
//     only lost power is never behind its mark.
//   - ceiling is never behind: a seq above it is not given to anybody before a higher
//     ceiling is durable. It is raised in blocks, in the background once half a block is
//     left, so in practice no batch waits for it; one that gets there first waits.
//
// The file has two slots of slotSize bytes:
//
//	magic 8 bytes, version u32, generation u64, identity 16 bytes, ceiling u64, stamp u64,
//	time u64 (Unix milliseconds), commits 256 times u64, zeros, CRC-32C u32 of all that
//
// Integers are big-endian. Writes take turns between the slots, each is followed by an
// fdatasync, and the valid slot with the higher generation counts: a write that a
// crash tears leaves the one before. A ceiling is written to both slots before it is
// used, so that it counts whichever of the two is lost. The file is made under another
// name, whole, and from then on written in place: it never grows, so a full disk is no
// reason for it to fail.
//
// It is written once a second while anything changed, when the store closes, and when
// it opens. A store that cannot write its mark fails as if its write-ahead log could
// not be written. Going on would mean to go on unprotected and soon without seqs; after
// a failed sync nobody knows what a second one would mean; and it is the same disk.
//
// What the mark cannot see: commits after the last write that are lost (a second's
// worth at most, and no seq of theirs comes a second time once a loss was noticed), and
// a folder and a mark that are older or gone together. That is why a backup holds the
// folder and not the mark.
type mark struct {
	generation uint64
	identity   [16]byte
	ceiling    uint64
	stamp      uint64
	time       uint64
	commits    [protocol.Partitions]uint64
}

const (
	markMagic   = "gannetmk"
	markVersion = 1
	markSlots   = 2
	slotSize    = 4096 // what a disk writes at once, so that one slot does not tear the other

	// markPause is how often the mark is written while anything changes: what is acked
	// in between can be lost unnoticed. A write is 4 KiB and a sync.
	markPause = time.Second

	// defaultBlock is how far the ceiling is raised ahead of the highest seq. The half of
	// it that is left when raising begins lasts a single conversation for two seconds at
	// 250,000 messages/s, and raising takes as long as two syncs. It costs nothing: the
	// ceiling is at most two blocks above the highest seq that was asked for, and a start
	// that gives something up skips no more. A multiple of checkpoint.
	defaultBlock = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errMark says that a slot of a mark is not as it was written.
var errMark = errors.New("damaged")

// markPath gives where the mark of the store in dir is.
func markPath(dir string) string { return dir + ".mark" }

// encode gives the bytes of a slot.
func (m *mark) encode() []byte {
	b := make([]byte, 0, slotSize)
	b = append(b, markMagic...)
	b = binary.BigEndian.AppendUint32(b, markVersion)
	b = binary.BigEndian.AppendUint64(b, m.generation)
	b = append(b, m.identity[:]...)
	for _, v := range [...]uint64{m.ceiling, m.stamp, m.time} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	for _, n := range m.commits {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = b[:slotSize-4]
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decode reads a slot.
func (m *mark) decode(b []byte) error {
	if len(b) != slotSize || string(b[:8]) != markMagic || crc32.Checksum(b[:slotSize-4], castagnoli) != binary.BigEndian.Uint32(b[slotSize-4:]) {
		return errMark
	}
	if v := binary.BigEndian.Uint32(b[8:]); v != markVersion {
		return fmt.Errorf("of version %d, this gannet reads %d", v, markVersion)
	}
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	m.generation, m.ceiling, m.stamp, m.time = u64(12), u64(36), u64(44), u64(52)
	copy(m.identity[:], b[20:])
	for i := range m.commits {
		m.commits[i] = u64(60 + 8*i)
	}
	return nil
}

// total gives the commits of all queues.
func (m *mark) total() (n uint64) {
	for _, c := range m.commits {
		n += c
	}
	return n
}

// readMark reads the mark at path. damaged counts the slots that cannot be read; with
// all of them the mark means nothing and err says why. A mark that is not there gives
// an error that wraps fs.ErrNotExist.
func readMark(fs vfs.FS, path string) (m mark, damaged int, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return mark{}, 0, err
	}
	defer f.Close()
	b := make([]byte, markSlots*slotSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return mark{}, 0, err
	}
	b = b[:n]
	var why error
	for i := range markSlots {
		var slot mark
		from, to := min(i*slotSize, n), min((i+1)*slotSize, n)
		if err := slot.decode(b[from:to]); err != nil {
			damaged, why = damaged+1, err
		} else if slot.generation > m.generation {
			m = slot
		}
	}
	if damaged == markSlots {
		return mark{}, damaged, why
	}
	return m, damaged, nil
}

// marker keeps the mark of a store that is open.
type marker struct {
	file  vfs.File
	now   func() time.Time
	block uint64
	low   chan struct{} // holds something once the ceiling is to be raised

	ceiling atomic.Uint64 // durable, in both slots
	asked   atomic.Uint64 // the highest seq for which cover was asked

	writing sync.Mutex // held while a slot is written
	mu      sync.Mutex // guards what follows
	next    mark       // what the next write says
	dirty   bool       // it says more than the last one
}

// openMark begins to keep a mark that says m, which both slots do when it returns. With
// generation 0 the file is made, else it is there.
func openMark(fs vfs.FS, path string, m mark, block uint64, now func() time.Time) (*marker, error) {
	k := &marker{now: now, block: block, low: make(chan struct{}, 1), next: m}
	if m.generation == 0 {
		if err := k.create(fs, path); err != nil {
			return nil, err
		}
	}
	var err error
	if k.file, err = fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err != nil {
		return nil, err
	}
	k.next.ceiling = max(m.ceiling, k.above(0))
	if err := k.writeBoth(); err != nil {
		return nil, errors.Join(err, k.file.Close())
	}
	return k, nil
}

// create makes the file, with room for all that will ever be in it.
func (k *marker) create(fs vfs.FS, path string) error {
	k.next.generation = 1
	temporary := path + ".new"
	f, err := fs.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	for range markSlots {
		if err == nil {
			_, err = f.Write(k.next.encode())
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temporary, path); err != nil {
		return err
	}
	folder, err := fs.OpenDir(fs.PathDir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// reached counts a commit that is durable.
func (k *marker) reached(queue int, number, stamp uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next.commits[queue], k.next.stamp = number, max(k.next.stamp, stamp)
	k.dirty = true
}

// cover returns once seqs up to head may be given out.
func (k *marker) cover(head uint64) error {
	operate.Raise(&k.asked, head)
	ceiling := k.ceiling.Load()
	if head+k.block/2 > ceiling {
		select {
		case k.low <- struct{}{}:
		default:
		}
	}
	if head <= ceiling {
		return nil
	}
	return k.raise(head)
}

// raise makes a ceiling durable that is a block above head, in both slots.
func (k *marker) raise(head uint64) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	if head+k.block/2 <= k.ceiling.Load() {
		return nil // somebody else did it
	}
	k.mu.Lock()
	k.next.ceiling = k.above(head)
	k.mu.Unlock()
	return k.writeBoth()
}

// writeBoth makes the ceiling durable in both slots. writing is held, or nobody else has
// the marker yet.
func (k *marker) writeBoth() error {
	for range markSlots {
		if err := k.writeSlot(); err != nil {
			return err
		}
	}
	k.ceiling.Store(k.next.ceiling) // which only the holder of writing changes
	return nil
}

// above gives the multiple of a block that is at least one block above head.
func (k *marker) above(head uint64) uint64 { return (head/k.block + 2) * k.block }

// write makes durable what changed since the last write, if anything did.
func (k *marker) write() error {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	dirty := k.dirty
	k.mu.Unlock()
	if !dirty {
		return nil
	}
	return k.writeSlot()
}

// writeSlot writes the slot whose turn it is. writing is held.
func (k *marker) writeSlot() error {
	k.mu.Lock()
	k.next.generation++
	k.next.time = uint64(k.now().UnixMilli())
	k.dirty = false
	slot := k.next.encode()
	at := int64(k.next.generation%markSlots) * slotSize
	k.mu.Unlock()
	if _, err := k.file.WriteAt(slot, at); err != nil {
		return err
	}
	return k.file.SyncData()
}

// close writes what is not written and closes the file.
func (k *marker) close() error { return errors.Join(k.write(), k.file.Close()) }

// keepMark writes the mark until the store closes.
func (s *Store) keepMark() {
	ticker := time.NewTicker(s.markPause)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-s.closing:
			return
		case <-s.failure:
			return
		case <-s.mark.low:
			err = s.mark.raise(s.mark.asked.Load()) // nothing, if whoever asked did it
		case <-ticker.C:
			err = s.mark.write()
		}
		if err != nil {
			_ = s.fail(fmt.Errorf("the mark: %w", err))
			return
		}
	}
}

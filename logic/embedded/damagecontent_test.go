package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"gannet/logic"
)

// holds has the database say something else of itself; the value "" takes it away.
func holds(key, value string) func(d *lossDisk) {
	return func(d *lossDisk) {
		d.raw(nil, func(db *pebble.DB) error {
			if value == "" {
				return db.Delete([]byte(key), pebble.Sync)
			}
			return db.Set([]byte(key), []byte(value), pebble.Sync)
		})
	}
}

// raw changes the database as another program would.
func (d *lossDisk) raw(tune func(*pebble.Options), change func(*pebble.DB) error) {
	d.Helper()
	opts := pebbleOptions(d.fs, defaultCacheBytes, logger{})
	if tune != nil {
		tune(opts)
	}
	db, err := pebble.Open(d.dir, opts)
	if err != nil {
		d.Fatal(err)
	}
	if err := errors.Join(change(db), db.Close()); err != nil {
		d.Fatal(err)
	}
	d.undo = func() { d.replace(d.whole, "") }
}

func format(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

const otherFormat = "embedded: cannot use $DIR: the store has another format: #, this gannet reads format #; use the gannet that wrote it, or another folder"

// formatCases are folders of other versions and other programs.
var formatCases = []damageCase{
	{"format: a later one", holds(keyFormat, format(formatVersion+1)), held, otherFormat},
	{"format: an earlier one", holds(keyFormat, format(formatVersion-1)), held, otherFormat},
	{"format: of another size", holds(keyFormat, "1"), held, otherFormat},
	{"format: none", holds(keyFormat, ""), held, "embedded: cannot use $DIR: the store has another format: it does not say which; use the gannet that wrote it, or another folder"},
	{"format: of before there was one, or of another program", func(d *lossDisk) {
		d.remove(d.dir)
		d.raw(func(o *pebble.Options) { o.Merger = nil }, func(db *pebble.DB) error { return db.Set([]byte("c"), []byte("message"), pebble.Sync) })
	}, held, "embedded: the store has another format: $DIR was written by a gannet before format #, which this one cannot read; use the gannet that wrote it, or another folder"},
	{"name of the store: none", holds(keyIdentity, ""), held, "embedded: cannot use $DIR: the store has lost its name: embedded: a record in the store is damaged; stop the server and restore the data folder from a backup"},
	{"name of the store: too short", holds(keyIdentity, "short"), held, "embedded: cannot use $DIR: the store has lost its name: embedded: a record in the store is damaged; stop the server and restore the data folder from a backup"},
}

const badBlock = "embedded: a file of the store is damaged; what lies in it is unavailable, everything else goes on file=…/#.sst do=stop the server and restore this file, or the whole data folder, from a backup err=…"

// blockCases are bytes of tables that are not as they were written.
var blockCases = []damageCase{
	{"table: a byte of the newest block of a conversation", flipMessage(7, flipMessages), apart, badBlock},
	{"table: a byte of an older table of a conversation", flipMessage(7, 2), apart, badBlock},
	{"running: tables cannot be read for a while", tablesUnreadable, apart, "embedded: a conversation cannot be read conversation=… err=…/#.sst: input/output error; look at what the kernel says of this disk, keep a copy of the folder, and start again"},
	{"table: a byte of its footer", flipFooter, apart, "embedded: cannot use …: the store is damaged: …/#.sst: …; stop the server and restore this file, or the whole data folder, from a backup"},
}

// flipMessage damages the block that has a message of the conversation of user 1 and
// this peer. Those that share it are unavailable, all others are served, and once the
// file is back so are they.
func flipMessage(peer, id uint64) func(d *lossDisk) {
	return func(d *lossDisk) {
		files := writeTables(d.T, filepath.Join(d.TempDir(), "db"))
		for name, content := range files {
			body := bodyOf(peer, id)
			at := bytes.Index(content, body[:bytes.IndexByte(body, 0)])
			if !isTable(name) || at < 0 {
				continue
			}
			dir := restore(d.T, files)
			damaged := bytes.Clone(content)
			damaged[at] ^= 0x10
			if err := os.WriteFile(filepath.Join(dir, name), damaged, 0o600); err != nil {
				d.Fatal(err)
			}
			s, err := Open(dir, Options{Queues: 1, Log: slog.New(d.log), tune: smallBlocks})
			if err != nil {
				d.Fatal(err)
			}
			if bad := checkFlipped(d.T, s, name); bad < 1 || bad > 5 {
				d.Errorf("%d conversations are unavailable", bad)
			}
			page := logic.Page{Conversation: direct(1, peer), Limit: 256, Room: 1 << 20}
			if err := s.Pages(d.Context(), []*logic.Page{&page}); err != nil || !errors.Is(page.Err, logic.ErrUnavailable) {
				d.Errorf("the conversation itself gives %v, %v", err, page.Err)
			}
			if err := errors.Join(s.Err(), s.Close()); err != nil {
				d.Error(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				d.Fatal(err)
			}
			s = mustOpenDir(d.T, dir)
			for peer := uint64(2); peer < 2+flipPeers; peer++ {
				page := logic.Page{Conversation: direct(1, peer), Limit: 256, Room: 1 << 20}
				if err := s.Pages(d.Context(), []*logic.Page{&page}); err != nil || page.Err != nil || page.Count < flipMessages {
					d.Errorf("once the file is back the conversation with %d has %d messages, %v, %v", peer, page.Count, err, page.Err)
				}
			}
			return
		}
		d.Fatalf("message %d to %d is in no table", id, peer)
	}
}

// flipFooter damages what says where everything of a table lies: what the store says
// about itself is in every table, so the start is refused.
func flipFooter(d *lossDisk) {
	files := writeTables(d.T, filepath.Join(d.TempDir(), "db"))
	for name, content := range files {
		if !isTable(name) {
			continue
		}
		dir := restore(d.T, files)
		damaged := bytes.Clone(content)
		damaged[len(damaged)-1] ^= 0x10
		if err := os.WriteFile(filepath.Join(dir, name), damaged, 0o600); err != nil {
			d.Fatal(err)
		}
		s, err := Open(dir, Options{Queues: 1, Log: slog.New(d.log), tune: smallBlocks})
		if err == nil {
			s.Close()
			d.Fatal("it was opened")
		}
		wantNamed(d.T, err, name)
		d.log.lines = append(d.log.lines, regexp.MustCompile(`\n`).ReplaceAllString(err.Error(), " "))
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			d.Fatal(err)
		}
		if bad := checkFlipped(d.T, mustOpenDir(d.T, dir), name); bad != 0 {
			d.Errorf("once the file is back %d conversations are unavailable", bad)
		}
	}
}

// tablesUnreadable has a disk that gives nothing of the tables for a while: whoever asks
// meanwhile is told so, and nothing is lost.
func tablesUnreadable(d *lossDisk) {
	dir := restore(d.T, writeTables(d.T, filepath.Join(d.TempDir(), "db")))
	fault := &faulty{err: syscall.EIO, at: func(op errorfs.Op) bool { return isTable(op.Path) && op.Kind == errorfs.OpFileReadAt }}
	s, err := Open(dir, Options{Queues: 1, FS: fault.wrap(vfs.Default), Log: slog.New(d.log), tune: func(o *pebble.Options) {
		smallBlocks(o)
		o.DisableAutomaticCompactions = true
	}})
	if err != nil {
		d.Fatal(err)
	}
	ask := func(peer uint64) logic.Page {
		page := logic.Page{Conversation: direct(1, peer), Limit: 256, Room: 1 << 20}
		if err := s.Pages(d.Context(), []*logic.Page{&page}); err != nil {
			d.Fatal(err)
		}
		return page
	}
	fault.armed.Store(true)
	if page := ask(7); !errors.Is(page.Err, logic.ErrUnavailable) || errors.Is(page.Err, ErrDamaged) {
		d.Errorf("a page came to %v", page.Err)
	}
	if e := mustSend(d.T, s, 1, 1, 8, 100); e.Outcome != logic.Unknown {
		d.Errorf("a message came to %+v", e)
	}
	fault.armed.Store(false)
	for peer := uint64(2); peer < 2+flipPeers; peer++ {
		if page := ask(peer); page.Err != nil || page.Count != flipMessages {
			d.Errorf("afterwards the conversation with %d has %d messages, %v", peer, page.Count, page.Err)
		}
		if e := mustSend(d.T, s, 1, 1, peer, 100); e.Outcome != logic.Applied || e.Seq != flipMessages+1 {
			d.Errorf("afterwards a message came to %+v", e)
		}
	}
	if err := errors.Join(s.Err(), s.Close()); err != nil {
		d.Error(err)
	}
}

//go:build cluster

package rocketmq

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"gannet/internal/chain"
)

// forgetful lets a broker remove all but the newest megabyte at once.
var forgetful = []string{
	"mappedFileSizeCommitLog=1048576", "maxMessageSize=262144", "mappedFileSizeConsumeQueue=20000", "fileReservedTime=0",
	"deleteWhen=00;01;02;03;04;05;06;07;08;09;10;11;12;13;14;15;16;17;18;19;20;21;22;23",
	"cleanResourceInterval=100", "deleteCommitLogFilesInterval=1", "deleteConsumeQueueFilesInterval=1", "destroyMapedFileIntervalForcibly=1000",
}

// TestBehindRetention: with records gone because of their age, whoever needs them is
// told, and all others go on, under torture too.
func TestBehindRetention(t *testing.T) {
	b := startBroker(t, server(t), forgetful...)
	places := topicOn(t, b.nameServer, b.name, tortureQueues)
	c := open(t, b.nameServer, places)
	fillers := make([]*filler, tortureQueues)
	for n, queue := range queues(tortureQueues) {
		fillers[n] = &filler{T: t, w: chain.NewWriter(options(c, queue), chain.Beginning)}
		until(t, "a young broker is taken over", func() bool { _, err := fillers[n].w.TakeOver(t.Context()); return err == nil })
		for range 10 {
			fillers[n].fill(64 << 10)
		}
	}
	for n, queue := range queues(tortureQueues) {
		until(t, "the first records go", func() bool {
			fillers[n].fill(16 << 10)
			first, _, err := c.Bounds(t.Context(), queue)
			return err == nil && first > 5
		})
	}
	var from []known
	for n, queue := range queues(tortureQueues) {
		f := fillers[n]
		for range 20 {
			f.fill(5 << 10)
		}
		for _, old := range []chain.Mark{chain.Beginning, f.marks[0]} {
			if _, err := chain.NewWriter(options(c, queue), old).TakeOver(t.Context()); !errors.Is(err, chain.ErrRetention) {
				t.Errorf("a writer from %v is told %v", old, err)
			}
			if err := chain.NewReader(c, queue, old).Read(t.Context(), func(*chain.Record) error { return nil }); !errors.Is(err, chain.ErrRetention) {
				t.Errorf("a reader from %v is told %v", old, err)
			}
		}
		seen := 0
		err := chain.Back(t.Context(), c, queue, f.Mark, func(*chain.Record) bool { seen++; return true })
		if err != nil || seen == 0 || seen > len(f.marks) {
			t.Errorf("walking back gives %d of %d records (%v)", seen, len(f.marks), err)
		}
		t.Logf("%v: of %d records %d are there", queue, len(f.marks), seen)
	}
	for _, f := range fillers { // the newest megabyte has a record of each
		f.fill(100)
		from = append(from, f.known)
	}
	b.kill()
	b.start(slices.Concat(forgetful[:3], []string{"fileReservedTime=72"})...)
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	for n, queue := range queues(tortureQueues) {
		var first int64
		until(t, "the broker is back and knows where the queue begins", func() bool { // at first it says 0 at times
			var err error
			first, _, err = c.Bounds(ctx, queue)
			return err == nil && first > 0
		})
		if first > from[n].Mark.Offset {
			t.Fatalf("%v begins at %d, the mark is %v", queue, first, from[n].Mark)
		}
	}
	x := newTorture(t, b, places, from)
	x.spare = true // one with so small files does not always come up again after a kill
	x.run()
}

// filler fills a queue.
type filler struct {
	*testing.T
	known
	w     *chain.Writer
	marks []chain.Mark
}

func options(c *Client, queue chain.Queue) chain.Options {
	return chain.Options{Stream: c, Queue: queue, Registry: func() uint64 { return 1 }, Take: func(*chain.Record) error { return nil }}
}

// fill appends a record of one message.
func (f *filler) fill(size int) {
	f.Helper()
	f.Head++
	body := binary.BigEndian.AppendUint64(nil, f.Head)
	body = append(body, make([]byte, size/16*16+8)...)
	for {
		var err error
		if !f.w.Taken() {
			var doubt chain.Doubt
			if doubt, err = f.w.TakeOver(f.Context()); err == nil && doubt.Counts {
				f.Mark = doubt.Mark
				break
			}
		}
		if err == nil {
			if f.Mark, err = f.w.Append(f.Context(), body); err == nil {
				break
			}
		}
		if !errors.Is(err, chain.ErrUnknown) && !errors.Is(err, chain.ErrRefused) && !errors.Is(err, context.DeadlineExceeded) {
			f.Fatal(err)
		}
	}
	f.marks = append(f.marks, f.Mark)
}

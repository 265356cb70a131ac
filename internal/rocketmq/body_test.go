package rocketmq

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strconv"
	"testing"

	"github.com/apache/rocketmq-client-go/v2/primitive"

	"gannet/internal/chain"
)

// stored is a record as a broker gives it.
func stored(offset int64, flags uint32, body string) []byte {
	host := func(v6 uint32) []byte {
		if flags&v6 != 0 {
			return make([]byte, 20)
		}
		return make([]byte, 8)
	}
	const properties = "KEYS\x01k\x02"
	b := make([]byte, 48)
	binary.BigEndian.PutUint32(b[4:], recordMagic)
	binary.BigEndian.PutUint64(b[20:], uint64(offset))
	binary.BigEndian.PutUint32(b[36:], flags)
	b = append(b, host(primitive.FlagBornHostV6)...)
	b = append(b, make([]byte, 8)...)
	b = append(b, host(primitive.FlagStoreHostV6)...)
	b = append(b, make([]byte, 12)...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
	b = append(b, "\x05topic"...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(properties))), properties...)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// good is three records, with hosts of every kind.
func good() []byte {
	b := stored(7, 0, "one")
	b = append(b, stored(8, primitive.FlagBornHostV6, "")...)
	return append(b, stored(9, primitive.FlagBornHostV6|primitive.FlagStoreHostV6, "three")...)
}

// byLibrary reads records by the library's own decoder, which can read what is whole.
func byLibrary(b []byte) (all []chain.Stored) {
	for _, m := range primitive.DecodeMessage(b) {
		all = append(all, chain.Stored{Offset: m.QueueOffset, Body: m.Body})
	}
	return all
}

func TestRecords(t *testing.T) {
	all, err := records(good())
	if err != nil || len(all) != 3 || string(all[0].Body) != "one" || all[2].Offset != 9 || string(all[2].Body) != "three" {
		t.Fatalf("read as %v (%v)", all, err)
	}
	if want := byLibrary(good()); !reflect.DeepEqual(all, want) {
		t.Errorf("read as %v, by the library as %v", all, want)
	}
	if all, err := records(nil); err != nil || len(all) != 0 {
		t.Errorf("nothing is read as %v (%v)", all, err)
	}
}

// damaged are bodies of pulls that cannot be, by what is wrong with them.
func damaged() map[string][]byte {
	changed := func(at int, n uint32) []byte {
		b := stored(7, 0, "body")
		binary.BigEndian.PutUint32(b[at:], n)
		return b
	}
	properties := stored(7, 0, "body")
	binary.BigEndian.PutUint16(properties[len(properties)-9:], 0x8000)
	topic := stored(7, 0, "body")
	topic[92] = 0xff
	return map[string][]byte{
		"another magic":                 changed(4, 1),
		"a size of nothing":             changed(0, 0),
		"a negative size":               changed(0, 1<<31),
		"a size past the end":           changed(0, 200),
		"a size that is too short":      changed(0, uint32(len(stored(7, 0, "body"))-1)),
		"a negative offset":             changed(20, 1<<31),
		"a compressed body":             changed(36, primitive.FlagCompressed),
		"hosts longer than they are":    changed(36, primitive.FlagBornHostV6|primitive.FlagStoreHostV6),
		"a negative length of a body":   changed(84, 1<<32-5),
		"a body past the end":           changed(84, 1<<31-1),
		"a topic past the end":          topic,
		"negative properties":           properties,
		"something behind the record":   append(stored(7, 0, "body"), 0),
		"a record that is cut in hosts": stored(7, 0, "body")[:50],
	}
}

// What a broker gives that cannot be is an error, wherever it is cut.
func TestDamagedRecords(t *testing.T) {
	for name, b := range damaged() {
		if all, err := records(b); err == nil || all != nil {
			t.Errorf("%s is read as %v (%v)", name, all, err)
		}
	}
	b := good()
	first := len(stored(7, 0, "one"))
	second := first + len(stored(8, primitive.FlagBornHostV6, ""))
	for n := range b {
		if _, err := records(b[:n]); (err == nil) != (n == 0 || n == first || n == second) {
			t.Fatalf("%d of %d bytes: %v", n, len(b), err)
		}
	}
}

// A pull whose answer is damaged ends with an error that is counted, and the client goes
// on: the next answer is read.
func TestADamagedPull(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for opaque := 1; ; opaque++ {
			var length [4]byte
			if _, err := io.ReadFull(conn, length[:]); err != nil {
				return
			}
			io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(length[:])))
			head := `{"code":0,"opaque":` + strconv.Itoa(opaque) + `,"extFields":{"minOffset":"0","maxOffset":"9","nextBeginOffset":"8"}}`
			conn.Write(encoded(head, string(<-answers)))
		}
	}()
	queue := chain.Queue{Class: chain.Chat}
	c := &Client{
		options: Options{Log: slog.New(slog.DiscardHandler), Places: map[chain.Queue]Place{queue: {Topic: "topic", Broker: "broker"}}},
		remote:  newRemote(), brokers: map[string]*broker{"broker": {name: "broker", topic: "topic", address: l.Addr().String()}},
	}
	defer c.remote.close()
	var times uint64
	for name, b := range damaged() {
		answers <- b
		times++
		_, err := c.ask(t.Context(), c.brokers["broker"], c.options.Places[queue], 7, 1)
		if err == nil || errors.Is(err, io.EOF) || c.troubles.Damaged.Times() != times {
			t.Errorf("%s: a pull ends with %v, counted %d of %d", name, err, c.troubles.Damaged.Times(), times)
		}
	}
	answers <- good()
	p, err := c.ask(t.Context(), c.brokers["broker"], c.options.Places[queue], 7, 3)
	if err != nil || len(p.all) != 3 {
		t.Errorf("a good answer is read as %v (%v)", p, err)
	}
}

// Whatever a broker gives, it is an error or records that lie in it.
func FuzzRecords(f *testing.F) {
	f.Add(good())
	for _, b := range damaged() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := records(b)
		if err != nil {
			return
		}
		bytes := 0
		for _, r := range all {
			bytes += len(r.Body)
		}
		if bytes > len(b) || len(all) > len(b)/91 {
			t.Fatalf("%d bytes are read as %d records of %d bytes", len(b), len(all), bytes)
		}
	})
}

package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/internal/redis"
)

// Bind implements directory.Directory.
//
// Devices of dead gateways do not count: if a user has as many devices as allowed, Bind removes
// those whose gateways are dead and tries once more.
func (d *Directory) Bind(ctx context.Context, binds []directory.Bind, dst []directory.Bound) ([]directory.Bound, error) {
	start := len(dst)
	for len(binds) > 0 {
		some := binds[:min(len(binds), atOnce)]
		binds = binds[len(some):]
		var err error
		if dst, err = d.bind(ctx, some, dst); err != nil {
			return dst[:start], fmt.Errorf("directory: bind: %w", err)
		}
		if d.ended == nil {
			continue
		}
		results := dst[len(dst)-len(some):]
		for i := range some {
			if !results[i].Full {
				continue
			}
			if removed, err := d.makeRoom(ctx, some[i].User); err != nil || !removed {
				continue // the user really has too many devices
			}
			again, err := d.bind(ctx, some[i:i+1], nil)
			if err != nil {
				return dst[:start], fmt.Errorf("directory: bind: %w", err)
			}
			results[i] = again[0]
		}
	}
	return dst, nil
}

// bind runs one pipeline.
func (d *Directory) bind(ctx context.Context, binds []directory.Bind, dst []directory.Bound) ([]directory.Bound, error) {
	p := newParts(len(binds))
	for i := range binds {
		b := &binds[i]
		input := p.to(bucketOf(b.User), i)
		input = binary.BigEndian.AppendUint64(input, b.User)
		input = binary.BigEndian.AppendUint64(input, b.Device)
		input = binary.BigEndian.AppendUint64(input, b.Number)
		input = appendAddress(input, b.At)
		input = append(input, byte(b.Platform))
		input = binary.BigEndian.AppendUint32(input, uint32(max(b.Most, 0)))
		input = binary.BigEndian.AppendUint64(input, rand.Uint64()|1)
		p.put(input)
	}
	results, errs := d.client.Each(ctx, p.calls(d, bind)...)
	start := len(dst)
	dst = append(dst, make([]directory.Bound, len(binds))...)
	failed, last := 0, error(nil)
	for n, part := range p.list {
		output, _ := results[n].(string)
		err := errs[n]
		if err == nil && len(output) != sizeBound*len(part.of) {
			err = fmt.Errorf("%d bytes are no answer to %d binds", len(output), len(part.of))
		}
		if err != nil {
			failed, last = failed+1, err
			for _, of := range part.of {
				dst[start+of].Failed = true
			}
			continue
		}
		for i, of := range part.of {
			one := output[i*sizeBound:]
			dst[start+of] = directory.Bound{
				Lost: one[0] == 1, Full: one[0] == 2,
				Replaced: hop.Address{Gateway: number(one[1:]), Conn: number(one[9:])},
			}
		}
	}
	if failed == len(p.list) && failed > 0 {
		return dst[:start], last
	}
	return dst, nil
}

// makeRoom takes the devices of a user out whose gateways are dead, and says whether there
// were any.
func (d *Directory) makeRoom(ctx context.Context, user uint64) (removed bool, err error) {
	pipe := d.client.Pipeline()
	value := pipe.HGet(ctx, d.keys[bucketOf(user)], string(binary.BigEndian.AppendUint64(nil, user)))
	if _, err := d.exec(ctx, pipe); err != nil {
		return false, err
	}
	known := verdicts{ended: d.ended}
	var gone []directory.Bind
	for rest := value.Val(); len(rest) >= 8+sizeDevice; rest = rest[sizeDevice:] {
		entry := rest[8:]
		b := directory.Bind{User: user, Device: number(entry), Number: number(entry[8:]), At: hop.Address{Gateway: number(entry[16:]), Conn: number(entry[24:])}}
		if known.dead(ctx, b.At.Gateway) {
			gone = append(gone, b)
		}
	}
	return len(gone) > 0, d.Unbind(ctx, gone)
}

// Unbind implements directory.Directory.
func (d *Directory) Unbind(ctx context.Context, binds []directory.Bind) error {
	for len(binds) > 0 {
		some := binds[:min(len(binds), atOnce)]
		binds = binds[len(some):]
		p := newParts(len(some))
		for i, b := range some {
			input := p.to(bucketOf(b.User), i)
			input = binary.BigEndian.AppendUint64(input, b.User)
			input = binary.BigEndian.AppendUint64(input, b.Device)
			input = binary.BigEndian.AppendUint64(input, b.Number)
			input = appendAddress(input, b.At)
			input = binary.BigEndian.AppendUint64(input, rand.Uint64()|1)
			p.put(input)
		}
		if _, err := d.client.Run(ctx, p.calls(d, unbind)...); err != nil {
			return fmt.Errorf("directory: unbind: %w", err)
		}
	}
	return nil
}

func appendAddress(dst []byte, a hop.Address) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, a.Gateway), a.Conn)
}

// parts are the inputs of the scripts of one call, one for each bucket that the call touches.
type parts struct {
	where map[int]int // bucket to index in list
	list  []part
	last  int
}

type part struct {
	bucket int
	input  []byte
	of     []int // which of the caller's list, in order
}

func newParts(n int) *parts { return &parts{where: make(map[int]int, n), list: make([]part, 0, n)} }

// to gives the input of a bucket so far, to append entry i of the caller's list to it and put it
// back.
func (p *parts) to(bucket, i int) []byte {
	at, ok := p.where[bucket]
	if !ok {
		at = len(p.list)
		p.where[bucket] = at
		p.list = append(p.list, part{bucket: bucket})
	}
	p.last = at
	p.list[at].of = append(p.list[at].of, i)
	return p.list[at].input
}

func (p *parts) put(input []byte) { p.list[p.last].input = input }

func (p *parts) calls(d *Directory, script *redis.Script) []redis.Call {
	calls := make([]redis.Call, len(p.list))
	for i := range p.list {
		calls[i] = redis.Call{Script: script, Keys: d.keys[p.list[i].bucket : p.list[i].bucket+1], Args: []any{p.list[i].input}}
	}
	return calls
}

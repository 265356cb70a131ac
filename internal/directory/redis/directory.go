// Package redis keeps the directory of connected devices in Redis.
//
// Users are hashed into buckets. Each bucket is one key with its own hash tag, so that the
// buckets spread over the masters of a cluster and no script crosses slots. A call sends its
// requests for all buckets in one pipeline. Reads and writes go to masters. So a look-up that
// begins after a bind returned sees the bind.
//
// An entry has no expiry: it is valid as long as the epoch of its gateway is registered. A
// look-up leaves out entries of epochs that are known to have ended. So a dead gateway has no
// devices from the moment its end is known. Follow removes the entries from Redis, soon after
// each death and again from time to time, because a bind that was under way may arrive after the
// first removal.
//
// After Redis lost data, Watch tells the gateways, and they bind their connections once more. A
// bind with the same number and address changes nothing, so binding too often does no harm.
package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/internal/redis"
	"gannet/protocol"
)

const (
	// buckets is how many keys there are: few enough to go through all of them within a second,
	// and so many that a sweep of one takes only a millisecond with millions of users. The number
	// is fixed, because all processes must agree on it.
	buckets = 4096

	// atOnce is how many scripts or look-ups go out in one pipeline at most, so that
	// each pipeline answers well within a call's time.
	atOnce = 1024

	sizeDevice = 49
	sizeBound  = 17

	// nobody is the version of every user without a device.
	nobody = 0x9b1f0c5d7e3a2461
)

// Options of a Directory.
type Options struct {
	Prefix string // of all keys, the same for all nodes of a cluster; "": gannet

	// Ended says whether the registration of a gateway's epoch has ended
	// (registry.Registry.Ended). If it is nil, no epoch is known to have ended.
	Ended func(ctx context.Context, epoch uint64) (bool, error)

	Logger *slog.Logger // nil: slog.Default
}

// Directory is the adapter.
type Directory struct {
	client *redis.Client
	keys   [buckets]string
	prefix string
	ended  func(ctx context.Context, epoch uint64) (bool, error)
	logger *slog.Logger
	counts counters
}

var _ directory.Directory = (*Directory)(nil)

type counters struct {
	unreadable operate.Trouble // entries that are none; their users have no devices
	unanswered operate.Trouble // calls of Follow and Watch that Redis did not answer
	lost       operate.Trouble // how often Redis was found to have lost data
	swept      atomic.Uint64   // entries of gateways that are dead
}

// Vars gives the counters by name.
func (d *Directory) Vars() map[string]uint64 {
	return map[string]uint64{
		"unreadable": d.counts.unreadable.Times(),
		"unanswered": d.counts.unanswered.Times(),
		"lost":       d.counts.lost.Times(),
		"swept":      d.counts.swept.Load(),
	}
}

// New makes a Directory.
func New(client *redis.Client, o Options) *Directory {
	if o.Prefix == "" {
		o.Prefix = "gannet"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	d := &Directory{client: client, prefix: o.Prefix, ended: o.Ended, logger: o.Logger}
	for i := range d.keys {
		d.keys[i] = "{" + o.Prefix + ":directory:" + strconv.Itoa(i) + "}"
	}
	return d
}

// bucketOf gives the bucket of a user: the low bits of one step of SplitMix64. The hash is fixed,
// because all processes must agree on it.
func bucketOf(user uint64) int {
	x := user + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return int((x ^ x>>31) % buckets)
}

// Draw implements directory.Directory.
func (d *Directory) Draw(ctx context.Context, users, dst []uint64) (numbers []uint64, err error) {
	numbers = dst
	for some := range slices.Chunk(users, atOnce) {
		calls := make([]redis.Call, len(some))
		for i, user := range some {
			bucket := bucketOf(user)
			calls[i] = redis.Call{Script: draw, Keys: d.keys[bucket : bucket+1]}
		}
		results, errs := d.client.Each(ctx, calls...)
		failed, last := 0, error(nil)
		for i, result := range results {
			text, _ := result.(string)
			n, err := strconv.ParseUint(text, 10, 64)
			if errs[i] != nil {
				err = errs[i]
			} else if err != nil || n == 0 {
				err = fmt.Errorf("%v is no number", result)
			}
			if err != nil {
				failed, last, n = failed+1, err, 0
			}
			numbers = append(numbers, n)
		}
		if failed == len(some) {
			return dst, fmt.Errorf("directory: draw: %w", last)
		}
	}
	return numbers, nil
}

// Devices implements directory.Directory.
func (d *Directory) Devices(ctx context.Context, lookups []directory.Lookup, answers []directory.Answer, devices []directory.Device) ([]directory.Answer, []directory.Device, error) {
	known := verdicts{ended: d.ended}
	var field [8]byte
	for len(lookups) > 0 {
		some := lookups[:min(len(lookups), atOnce)]
		lookups = lookups[len(some):]
		pipe := d.client.Pipeline()
		for _, l := range some {
			binary.BigEndian.PutUint64(field[:], l.User)
			pipe.HGet(ctx, d.keys[bucketOf(l.User)], string(field[:]))
		}
		commands, err := d.exec(ctx, pipe)
		if err != nil {
			return answers, devices, fmt.Errorf("directory: devices: %w", err)
		}
		for i, command := range commands {
			start := len(devices)
			a := directory.Answer{Version: nobody}
			if value := command.(*goredis.StringCmd).Val(); value != "" {
				a.Version, devices = d.read(ctx, some[i].User, value, devices, &known)
			}
			if a.Version == some[i].Version {
				a.Same, devices = true, devices[:start]
			}
			a.Devices = hop.Span{Start: uint32(start), End: uint32(len(devices))}
			answers = append(answers, a)
		}
	}
	return answers, devices, nil
}

// exec sends the pipeline. A missing key or field is not an error.
func (d *Directory) exec(ctx context.Context, pipe goredis.Pipeliner) ([]goredis.Cmder, error) {
	ctx, cancel := d.client.Within(ctx)
	defer cancel()
	commands, _ := pipe.Exec(ctx) // its error is that of one of the commands
	for _, command := range commands {
		if err := command.Err(); err != nil && err != goredis.Nil {
			return nil, err
		}
	}
	return commands, nil
}

// read appends the devices of a user to dst, without those of gateways that are dead.
func (d *Directory) read(ctx context.Context, user uint64, value string, dst []directory.Device, known *verdicts) (version uint64, devices []directory.Device) {
	if len(value) < 8+sizeDevice || (len(value)-8)%sizeDevice != 0 {
		if d.counts.unreadable.Note() {
			d.logger.Warn("directory: an entry cannot be read; its user has no devices", "user", user, "bytes", len(value))
		}
		return rand.Uint64() | 1, dst
	}
	version = number(value)
	for value = value[8:]; len(value) > 0; value = value[sizeDevice:] {
		device := directory.Device{
			User: user, Device: number(value), Platform: protocol.Platform(value[32]),
			At: hop.Address{Gateway: number(value[16:]), Conn: number(value[24:])},
		}
		if !known.dead(ctx, device.At.Gateway) {
			dst = append(dst, device)
		}
	}
	return version, dst
}

// number reads the first 8 bytes.
func number(s string) uint64 {
	return uint64(s[0])<<56 | uint64(s[1])<<48 | uint64(s[2])<<40 | uint64(s[3])<<32 |
		uint64(s[4])<<24 | uint64(s[5])<<16 | uint64(s[6])<<8 | uint64(s[7])
}

// verdicts are what one call has learned of the epochs of gateways, of which there are
// few.
type verdicts struct {
	ended  func(ctx context.Context, epoch uint64) (bool, error)
	epochs map[uint64]bool
}

// dead says whether an epoch is known to have ended.
func (v *verdicts) dead(ctx context.Context, epoch uint64) bool {
	if v.ended == nil {
		return false
	}
	dead, asked := v.epochs[epoch]
	if !asked {
		ended, err := v.ended(ctx, epoch)
		dead = ended && err == nil
		if v.epochs == nil {
			v.epochs = make(map[uint64]bool)
		}
		v.epochs[epoch] = dead
	}
	return dead
}

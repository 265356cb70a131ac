package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"gannet/internal/redis"
	"gannet/internal/registry"
)

// epochs gives the epochs of the gateways of all entries of a bucket, 8 bytes each.
var epochs = redis.NewScript(`
local seen, list = {}, {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if #all[i] == 8 then
    for d = 9, #all[i + 1], 49 do
      local epoch = string.sub(all[i + 1], d + 16, d + 23)
      if not seen[epoch] then
        seen[epoch] = true
        list[#list + 1] = epoch
      end
    end
  end
end
return table.concat(list)
`)

const (
	// cleanEvery is how often all entries are checked. It finds entries that arrived late, and
	// those whose sweeper died.
	cleanEvery = 10 * time.Minute

	// claimFor is how long an epoch that one process sweeps is left alone by all others.
	claimFor = time.Minute
)

// Follow removes the entries of dead gateways until ctx ends: those of a gateway that leaves the
// view at once, and all others every ten minutes. For each gateway only one of the processes that
// follow does the work.
func (d *Directory) Follow(ctx context.Context, r registry.Registry) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	view := r.View()
	for {
		select {
		case <-ctx.Done():
			return
		case <-view.Superseded():
			newer := r.View()
			for _, n := range view.Of(registry.Gateway) {
				if _, lives := newer.Epoch(n.Epoch); lives {
					continue
				}
				if err := d.remove(ctx, r, n.Epoch); err != nil {
					d.unanswered(ctx, err)
				}
			}
			view = newer
		case <-timer.C:
			timer.Reset(cleanEvery)
			if err := d.Clean(ctx, r); err != nil {
				d.unanswered(ctx, err)
			}
		}
	}
}

func (d *Directory) unanswered(ctx context.Context, err error) {
	if ctx.Err() == nil && d.counts.unanswered.Note() {
		d.logger.Warn("directory: entries of gateways that are dead may stay for a while", "error", err)
	}
}

// Clean removes the entries of all gateways that are dead.
func (d *Directory) Clean(ctx context.Context, r registry.Registry) error {
	there := make(map[uint64]bool)
	err := d.each(ctx, func(int) redis.Call { return redis.Call{Script: epochs} }, func(_ int, result any) error {
		list, _ := result.(string)
		for ; len(list) >= 8; list = list[8:] {
			there[number(list)] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("directory: epochs: %w", err)
	}
	for epoch := range there {
		if err := d.remove(ctx, r, epoch); err != nil {
			return err
		}
	}
	return nil
}

// remove sweeps the entries of an epoch, if the epoch has ended and no other process is sweeping
// it.
func (d *Directory) remove(ctx context.Context, r registry.Registry, epoch uint64) error {
	ended, err := r.Ended(ctx, epoch)
	if err != nil || !ended {
		return err
	}
	claim, cancel := d.client.Within(ctx)
	mine, err := d.client.SetNX(claim, d.prefix+":sweep:"+strconv.FormatUint(epoch, 16), 1, claimFor).Result()
	cancel()
	if err != nil || !mine {
		return err
	}
	removed, err := d.Sweep(ctx, epoch)
	if removed > 0 {
		d.logger.Info("directory: a gateway is dead, and its devices are taken out", "epoch", fmt.Sprintf("%x", epoch), "devices", removed)
	}
	return err
}

// Sweep removes all entries of epochs that have ended, and says how many there were.
func (d *Directory) Sweep(ctx context.Context, ended ...uint64) (removed int, err error) {
	var list []byte
	for _, epoch := range ended {
		list = binary.BigEndian.AppendUint64(list, epoch)
	}
	err = d.each(ctx, func(int) redis.Call {
		return redis.Call{Script: sweep, Args: []any{list, rand.Uint64()}}
	}, func(_ int, result any) error {
		n, ok := result.(int64)
		if !ok || n < 0 {
			return fmt.Errorf("directory: %v is no answer to a sweep", result)
		}
		removed += int(n)
		d.counts.swept.Add(uint64(n))
		return nil
	})
	return removed, err
}

package rocketmq

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrFlushesLater says that a broker acknowledges records before they are on its disk.
var ErrFlushesLater = errors.New("rocketmq: the broker acknowledges records before they are on its disk, and a power cut takes those that were acked: set flushDiskType=SYNC_FLUSH in its settings, and start it again")

// syncFlush is the value of flushDiskType with which a broker flushes first.
const syncFlush = "SYNC_FLUSH"

// CheckFlush asks a broker for its flush policy. It returns nil if records are on the broker's disk
// when it acknowledges them, ErrFlushesLater if they need not be, and another error if the broker
// does not say.
func CheckFlush(ctx context.Context, nameServers []string, broker string) error {
	r := newRemote()
	defer r.close()
	address, err := r.brokerAddress(ctx, nameServers, broker)
	if err != nil {
		return err
	}
	a, err := r.call(ctx, address, getSettings, nil, nil)
	if err != nil {
		return fmt.Errorf("rocketmq: broker %s does not tell its settings: %w", broker, err)
	}
	if a.Code != 0 {
		return fmt.Errorf("rocketmq: broker %s does not tell its settings: code %d: %s", broker, a.Code, a.Remark)
	}
	switch how := setting(string(a.body), "flushDiskType"); how {
	case syncFlush:
		return nil
	case "":
		return fmt.Errorf("rocketmq: broker %s does not tell its flushDiskType", broker)
	default:
		return fmt.Errorf("%w (broker %s has %s)", ErrFlushesLater, broker, how)
	}
}

// setting gives the value of a key in settings as brokers write them, a line each, and ""
// where there is none. Of several the last counts.
func setting(settings, key string) (value string) {
	for line := range strings.Lines(settings) {
		if k, v, ok := strings.Cut(line, "="); ok && strings.TrimSpace(k) == key {
			value = strings.TrimSpace(v)
		}
	}
	return value
}

package logic

import (
	"sync/atomic"

	"gannet/internal/operate"
	"gannet/protocol"
)

// trouble is one reason for which something did not go as it should: it is counted
// every time and logged once a second at most, for a neighbour that does the same
// thing a thousand times a second fills no disk.
type trouble struct {
	times atomic.Uint64
	said  operate.Seldom
}

// note counts; true asks the caller to log it.
func (t *trouble) note() bool {
	t.times.Add(1)
	return t.said.Now()
}

// troubles are all of them.
type troubles struct {
	batch   trouble // of a gateway: lists that do not fit, or a queue that is not there
	frame   trouble // of a gateway: not one frame, nobody's, or another queue's conversation
	outcome trouble // of a log: entries whose results mean nothing
	page    trouble // of a store: pages that are none
	log     trouble // batches that the log did not carry out
	entry   trouble // entries that it left unknown
	read    trouble // SYNC, HISTORY and redeliveries that could not be read
	access  trouble // batches and queries for which Social did not answer
	receipt trouble // batches of receipts that did not go out
	kick    trouble // replaced connections that could not be closed
	login   trouble // logins for which the directory or the tokens did not answer
	logout  trouble // batches of logouts that the directory did not take
}

// refusals count what the log refused, by code: SENDs, PUSHACKs and READs whose senders
// were told why.
type refusals struct{ busy, limited, devices, stale, other atomic.Uint64 }

func (r *refusals) note(code protocol.Code) {
	switch code {
	case protocol.CodeBusy:
		r.busy.Add(1)
	case protocol.CodeRateLimited:
		r.limited.Add(1)
	case protocol.CodeTooManyDevices:
		r.devices.Add(1)
	case protocol.CodeStaleClientID:
		r.stale.Add(1)
	default:
		r.other.Add(1)
	}
}

// Stats gives every counter by name; they rise from the start of the process.
func (s *Service) Stats() map[string]uint64 {
	t, r := &s.troubles, &s.refusals
	return map[string]uint64{
		"refused.busy":             r.busy.Load(),
		"refused.rate_limited":     r.limited.Load(),
		"refused.too_many_devices": r.devices.Load(),
		"refused.stale_client_id":  r.stale.Load(),
		"refused.other":            r.other.Load(),

		"hostile.batch":   t.batch.times.Load(),
		"hostile.frame":   t.frame.times.Load(),
		"hostile.outcome": t.outcome.times.Load(),
		"hostile.page":    t.page.times.Load(),
		"failed.log":      t.log.times.Load(),
		"failed.entry":    t.entry.times.Load(),
		"failed.read":     t.read.times.Load(),
		"failed.access":   t.access.times.Load(),
		"failed.receipts": t.receipt.times.Load(),
		"failed.kick":     t.kick.times.Load(),
		"failed.login":    t.login.times.Load(),
		"failed.logout":   t.logout.times.Load(),
	}
}

package logic

import (
	"sync/atomic"

	"gannet/internal/operate"
	"gannet/protocol"
)

// troubles are all of them.
type troubles struct {
	batch   operate.Trouble // of a gateway: lists that do not fit, or a queue that is not there
	frame   operate.Trouble // of a gateway: not one frame, nobody's, or another queue's conversation
	outcome operate.Trouble // of a log: entries whose results mean nothing
	page    operate.Trouble // of a store: pages that are none
	log     operate.Trouble // batches that the log did not carry out
	entry   operate.Trouble // entries that it left unknown
	read    operate.Trouble // SYNC, HISTORY and redeliveries that could not be read
	access  operate.Trouble // batches and queries for which Social did not answer
	receipt operate.Trouble // batches of receipts that did not go out
	kick    operate.Trouble // replaced connections that could not be closed
	login   operate.Trouble // logins for which the directory or the tokens did not answer
	logout  operate.Trouble // batches of logouts that the directory did not take
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

		"hostile.batch":   t.batch.Times(),
		"hostile.frame":   t.frame.Times(),
		"hostile.outcome": t.outcome.Times(),
		"hostile.page":    t.page.Times(),
		"failed.log":      t.log.Times(),
		"failed.entry":    t.entry.Times(),
		"failed.read":     t.read.Times(),
		"failed.access":   t.access.Times(),
		"failed.receipts": t.receipt.Times(),
		"failed.kick":     t.kick.Times(),
		"failed.login":    t.login.Times(),
		"failed.logout":   t.logout.Times(),
	}
}

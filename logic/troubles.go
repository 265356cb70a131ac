package logic

import (
	"sync/atomic"

	"gannet/internal/operate"
	"gannet/protocol"
)

// troubles count what went wrong. Each is also logged, but not every time.
type troubles struct {
	batch   operate.Trouble // from a gateway: lists that do not match, or no such queue
	frame   operate.Trouble // from a gateway: not one frame, without user or device, or of another queue
	outcome operate.Trouble // from a log: entries with impossible results
	page    operate.Trouble // from a store: pages that cannot be sent on
	log     operate.Trouble // batches that the log did not carry out
	entry   operate.Trouble // entries whose outcome the log left unknown
	read    operate.Trouble // SYNC, HISTORY and redeliveries that could not be read
	access  operate.Trouble // batches and queries for which Social did not answer
	receipt operate.Trouble // batches of receipts that did not go out
	kick    operate.Trouble // replaced connections that could not be closed
	login   operate.Trouble // logins for which the directory or the tokens did not answer
	logout  operate.Trouble // batches of logouts that the directory did not take
}

// refusals count by code the SENDs, PUSHACKs and READs that the log refused. Their senders were
// told why.
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

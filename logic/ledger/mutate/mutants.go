package main

// mutants are the breaks that must be noticed. One whose text is gone needs a new
// place, or, if what it broke cannot be broken any more, goes too.
var mutants = []mutant{
	// apply.go: what a batch does.
	{"apply.go", "c.next.Head++", "c.next.Head += 0", "each message has a seq of its own"},
	{"apply.go", "c.next.Head++", "c.next.Head += 2", "seqs have no gaps"},
	{"apply.go", "c.next.Head++", "c.next.Head++\n\tc.shown.Head++", "readers stay behind what is not settled"},
	{"apply.go", "max(c.next.Time, l.work.change.now)", "l.work.change.now", "times never fall"},
	{"apply.go", "if !e.Silent {", "if true {", "silent messages are never unread"},
	{"apply.go", "m.next.Total++", "m.next.Total += 0", "one's own messages are never unread"},
	{"apply.go", "if e.ClientID <= d.next.MaxID {", "if e.ClientID < d.next.MaxID {", "a retry of the newest message is one"},
	{"apply.go", "if id > d.highest {", "if id >= d.highest {", "a retry of the newest message is looked up"},
	{"apply.go", "d.window = nil // its retries are unknown; later ones ask anew", "", "a window that could not be read judges nothing"},
	{"apply.go", "logic.Repeated, first.seq, first.time", "logic.Repeated, first.seq, l.work.change.now", "a retry gets the time of the first try"},
	{"apply.go", "s.previous, s.count, s.own = d.next.Last,", "s.previous, s.count, s.own = c.next.Head-1,", "each message names the one that its device sent before"},
	{"apply.go", "e.Seq = min(e.Seq, c.next.Head)\n\te.Outcome = logic.Repeated\n\tif e.Seq > d.next.Acked {", "e.Outcome = logic.Repeated\n\tif e.Seq > d.next.Acked {", "an ack never passes the head"},
	{"apply.go", "e.Seq = min(e.Seq, c.next.Head)\n\te.Outcome = logic.Repeated\n\tif e.Seq > m.next.Read {", "e.Outcome = logic.Repeated\n\tif e.Seq > m.next.Read {", "a READ never passes the head"},
	{"apply.go", "if e.Seq > d.next.Acked {", "if e.Seq != d.next.Acked {", "acks never fall"},
	{"apply.go", "d.next.Acked = e.Seq", "d.next.Acked, d.shown.Acked = e.Seq, e.Seq", "an ack is seen once its batch is settled"},
	{"apply.go", "e.Rose = e.Delivered > before", "e.Rose = e.Delivered >= before", "a receipt tells of what rose"},
	{"apply.go", "if e.Seq > m.next.Read {", "if e.Seq != m.next.Read {", "READ never falls"},
	{"apply.go", "max(m.next.Delivered, e.Seq)", "m.next.Delivered", "what is read is delivered"},
	{"apply.go", "m.next.Counted, m.next.Count, m.next.Own = false, 0, 0", "m.next.Own += 0", "unread is exact after a READ below the head"},
	{"apply.go", "if e.Seq == c.next.Head {", "if true {", "only a READ of the head takes its counts from memory"},
	{"apply.go", "\t\tm.raised = true\n", "", "READ is durable"},
	{"apply.go", "return e.Conversation.Partition()%l.options.Queues == l.options.Queue", "return true", "a queue leaves the conversations of others alone"},
	{"apply.go", "if !seen[c.Key] {", "if true {", "a conversation is loaded once"},
	{"apply.go", "if w.known > windowRoom {", "if w.known < 0 {", "windows do not stay for ever"},
	{"apply.go", "for i := len(w.windows) - 1; i >= 0; i-- {", "for i := range w.windows {", "the oldest windows go first"},

	// ledger.go: settle, abandon, the cache, acks that wait.
	{"ledger.go", "c.next = c.shown", "c.next.Time = c.shown.Time", "an abandoned batch gave out no seq"},
	{"ledger.go", "m.next, m.touched = m.shown, false", "m.touched = false", "an abandoned batch counted nothing and read nothing"},
	{"ledger.go", "d.next, d.touched = d.shown, false", "d.touched = false", "an abandoned batch took no client id"},
	{"ledger.go", "d.window, d.wants = nil, d.wants[:0]", "d.wants = d.wants[:0]", "no retry is told the seq of an abandoned message"},
	{"ledger.go", "d.window, d.wants = nil, d.wants[:0]", "d.window = nil", "a batch that panicked leaves nothing behind"},
	{"ledger.go", "l.work = work{}\n\tl.clear()", "l.work = work{}", "what is forgotten is read anew"},
	{"ledger.go", "return l.owing[key]", "return nil", "eviction forgets no ack"},
	{"ledger.go", "l.young[t.key] = t // must not", "_ = t // must not", "what is under way is not evicted"},
	{"ledger.go", "if owes && l.owing[c.key] == nil {", "if owes && c == nil {", "acks that wait are known"},
	{"ledger.go", "owes = owes || d.shown.Acked != d.written.Acked", "", "an ack waits to be written"},
	{"ledger.go", "owes = owes || m.shown.Counted != m.written.Counted", "", "what was learned is written"},
	{"ledger.go", "d.written = d.next", "_ = d", "an ack is written once"},
	{"ledger.go", "delete(l.owing, c.key)", "_ = c", "an ack after one that was written waits too"},
	{"ledger.go", "now-since >= ackPause", "now-since >= 60*ackPause", "acks are written within a second"},
	{"ledger.go", "now-since >= ackPause", "now >= since", "acks are written once a second at most"},
	{"ledger.go", "max(since, newest) > now", "newest > 0 && since > now", "a clock that is set back keeps no ack waiting"},
	{"ledger.go", " || len(l.owed)-i > maxOwing", "", "what stays in memory for acks is bounded"},

	// change.go: what is written, and the record.
	{"change.go", "all := c.repaid ||", "all :=", "acks that are due are written"},
	{"change.go", "w.repaid < maxRepaid && ", "", "no record is slow for the sake of acks"},
	{"change.go", " || in.Acks && w.repaid < len(l.owed)", "", "at stop all acks are written"},
	{"change.go", "!= c.next.Head/l.options.Checkpoint", "> c.next.Head/l.options.Checkpoint", "a checkpoint writes what a load does not replay"},
	{"change.go", "if m.raised {", "if m == nil {", "READ is written with its batch"},
	{"change.go", "Before: c.shown, After: c.next", "Before: c.next, After: c.next", "a change says where it began"},
	{"change.go", "len(c.Messages)+len(c.Members)+len(c.Devices) == 0", "len(c.Messages)+len(c.Members) == 0", "acks that are due need a commit"},
	{"change.go", "if d.next.Acked != d.written.Acked {", "if d != nil {", "only what rose counts as changed"},
	{"change.go", "if d.Acked == w.wroteDevices[i].written.Acked {", "if d == nil {", "a record tells of acks that rose"},
	{"change.go", "m.Counted && m.Read == e.Seq", "m.Counted", "the counts of a record are as of its READ"},
	{"change.go", "base += uint32(len(b.Blob))", "base += 0", "each entry of a record has its own frame"},

	// conversation.go: devices, and what a load makes of messages.
	{"conversation.go", "if seq == d.Acked+1 {", "if seq > d.Acked {", "sending acks nothing that was not received"},
	{"conversation.go", "if seq == d.Acked+1 {", "if seq == 0 {", "a SEND that is given acked + 1 raises the ack"},
	{"conversation.go", "d.MaxID, d.Last = max(d.MaxID, id), seq", "d.MaxID, d.Last = id, seq", "a lower id after a higher one is looked up"},
	{"conversation.go", "at := m.Delivered", "at := uint64(0)", "what READ delivered stays delivered"},
	{"conversation.go", "m.Seq > d.Last {", "m.Seq > 0 {", "a load raises no ack"},
	{"conversation.go", "Changed: max(l.Changed, stamp)", "Changed: stamp", "a cursor that rose after the last message counts as changed"},
	{"conversation.go", "Member{Counted: m.Counted}", "Member{}", "a load owes nothing"},
	{"conversation.go", "Device{Acked: d.Acked}", "Device{}", "a replayed ack is not owing"},

	// window.go: retries.
	{"window.go", "len(w.known)-at >= protocol.MaxUnacked", "len(w.known)-at > protocol.MaxUnacked", "an id past the window is stale"},
	{"window.go", "len(w.known)-at >= protocol.MaxUnacked", "len(w.known)-at >= protocol.MaxUnacked-1", "an id within the window is not stale"},
	{"window.go", "found || w.rest == 0 ||", "found || true ||", "a retry is not judged before its window is read"},
	{"window.go", "const windowSize = 2*protocol.MaxUnacked - 1", "const windowSize = protocol.MaxUnacked - 1", "a whole window in the wrong order has no second seqs"},
	{"window.go", "w.known = slices.Insert(w.known, at, m)", "_ = at", "a repeat within a batch is one"},
	{"window.go", "return m.seq < oldest", "return m.seq > oldest", "the newest messages of a window are kept"},
	{"window.go", "w.rest = previous", "w.rest = 0", "a window that was read in part says so"},

	// view.go: readers.
	{"view.go", "if c = l.peek(key); c == nil {", "if l.peek(key) != c || c == nil {", "what a reader loaded ahead of a batch is not shown"},
	{"view.go", "delivered(m, shownAck)", "delivered(m, nextAck)", "readers see acks that are settled"},
	{"view.go", "return v.Count - m.Total, true", "return v.Count, true", "who has read nothing has sent nothing unread"},
	{"view.go", "- (m.Total - m.Own)", "- m.Total", "one's own messages before a READ are counted once"},
	{"view.go", "c.members[i].next.Read != x.read || ", "", "counts of another cursor are not taken"},

	// line.go: calls that wait.
	{"line.go", "defer l.end(others) // also when write panics: nobody shall wait for ever\n\twrite(batches)", "write(batches)\n\tl.end(others)", "a panic lets the others go on"},
	{"line.go", "l.waiting = slices.Delete(l.waiting, i, i+1)", "_ = i", "a caller that gave up is not written"},
	{"line.go", "next := l.waiting[0]\n\tl.waiting = slices.Delete(l.waiting, 0, 1)", "next := l.waiting[len(l.waiting)-1]\n\tl.waiting = l.waiting[:len(l.waiting)-1]", "the order of callers is kept"},
	{"line.go", "w.turn <- false", "w.turn <- true", "a batch is written once"},
	{"line.go", "l.mu.Unlock()\n\t\t\tif lead := <-w.turn; !lead {\n\t\t\t\treturn nil\n\t\t\t}", "l.mu.Unlock()\n\t\t\treturn ctx.Err()", "who is told that nothing was tried is not written"},
}

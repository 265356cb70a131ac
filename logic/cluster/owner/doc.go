// Package owner implements logic.Log for the cluster: it is what a logic node does with the queues
// that it owns. The owner works a batch out in memory (ledger), appends it to its queue as a record
// of the chain (chain.Writer), takes it into the view (view.Writer), and only then answers.
//
// # The states of a queue
//
// The registry says which node owns a queue: plain rendezvous hashing over its newest view. The
// chain makes sure that no other node can slip a record in. So a node may be wrong about its
// ownership for a while, and no harm is done.
//
//	state      meaning                                   sends           readers (Recent)
//	unowned    another node owns it, or nobody           ErrElsewhere    ErrElsewhere
//	taking     ours, and being taken over                wait            ErrElsewhere
//	owned      ours                                      carried out     answered
//	waiting    ours, but Redis does not answer: a        busy            answered, but only for
//	           record may count that is not in the                       some seconds (freshness)
//	           view yet
//	doubtful   ours, but the broker does not answer, so  unavailable     as in waiting
//	           nobody knows whether the last record
//	           counts
//	stopped    the broker lost what it had acked, or     unavailable     ErrElsewhere
//	           the queue has a record that this program
//	           does not understand: a human must look.
//	           The queue goes on by itself once the
//	           records are back, or are given up
//
// Whoever gets the turn of a queue first does what the queue needs. Where nobody calls, a goroutine
// of the queue does so. After a failure nobody tries again for a moment.
//
//	unowned -> taking    the registry says that the queue is ours
//	taking  -> owned     an empty record of ours counts. Records that counted before it and were
//	                     missing in the view were replayed into it (replay.go); the newest
//	                     messages are in memory (tail.go)
//	owned   -> waiting   a script failed; it is repeated until it succeeds
//	owned   -> doubtful  an append had no clear answer. The queue is taken over anew under another
//	                     writer id. Then either the record counts, and is finished, or it is
//	                     void, and is appended once more
//	any     -> unowned   a record of another node counts, so the queue is lost: all that is known
//	                     of it is forgotten. Or the registry gives the queue to another node: the
//	                     record on its way is finished, acks that wait are written, and then all
//	                     is forgotten
//
// # What is certain
//
//   - An entry that is answered as applied is in a record that counts and in the view. Every
//     reader sees it from then on.
//   - A message in a record that counts, but that was not answered, is answered as repeated when
//     it is sent again, whichever node owns the queue then. A take-over reads the newest records
//     back (Known); older messages are in the windows of the ledger.
//   - One record of a queue is on its way at a time. It takes all that waits, up to the size of a
//     record. A queue that fails does not disturb the others.
//   - Acks of devices wait in memory for a second at most and are lost with the process. They do
//     not wait while this node drains (Drain), or while a node joins that will get the queue: then
//     an ack is answered only after it is written.
//   - What Redis lost is brought back. Records that a view lacks are replayed (replay.go). An empty
//     view is filled from the history and the queue; meanwhile conversations that are back, or in
//     memory, go on (rebuild.go).
//   - Nobody writes into a queue if its view, or the history, has a record that the broker does not
//     have. That record was acked. It may be late, or lost, and then an operator must give it up. A
//     node that has seen that a record is lost waits for that very record, whatever the view says
//     by then.
//   - A damaged conversation, which is one that Redis does not give back as it was written, does
//     not hold up others. Nothing reads or writes it, and a replay leaves it out; so does the feed
//     of the history if it is lost for good. It is brought back alone, from the history and the
//     queue (damaged.go).
//   - No replay brings a view past records that an operator gave up (chain.Loss). Either the view
//     is past them already, or it is made anew from the history, which has every head by then.
//   - A node that stood still does not answer readers from its memory before it has seen that the
//     queue is still its own.
//
// # Files
//
//	owner.go     all queues of a node; ports.go: what it needs
//	queue.go     a queue and its turns; tend.go: what is done without being asked
//	take.go      taking a queue over, and letting it go
//	mended.go    whether a queue that is stopped may go on
//	kept.go      whether the broker has what the history has of a queue
//	health.go    queues that have not been writable for long; lag.go: how far behind each is
//	retention.go for how long the broker keeps records; late.go: whether transfer takes them before
//	write.go     from batches to the answer; split.go: as records of bounded size
//	finish.go    a record on its way: appended, in the view, settled
//	replay.go    records that a view lacks; rebuild.go: a view that is empty
//	damaged.go   conversations that a view does not give back
//	tail.go      the newest messages; recent.go: as readers see them; back.go: read back
//	feed.go      records on their way to the history
//	inbox.go     acks that wait, laid over what the view says
package owner

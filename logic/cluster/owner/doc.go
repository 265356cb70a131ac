// Package owner is what a logic node does with the queues that it owns: it is logic.Log of
// the cluster. A batch is worked out in memory (ledger), appended to its queue as a record
// of the chain (chain.Writer), taken into the view (view.Writer), and only then answered.
//
// # The states of a queue
//
// Whose a queue is says the registry: plain rendezvous over its newest view. That no other
// can slip a record in is a matter of the chain, so a node may be wrong about it for a while
// and nothing is harmed.
//
//	state      what it is                                sends           readers (Recent)
//	unowned    another node's, or nobody's               ErrElsewhere    ErrElsewhere
//	taking     ours, and being taken over                wait            ErrElsewhere
//	owned      ours                                      carried out     answered
//	waiting    ours, but Redis does not answer: a        busy            as before, and after
//	           record may count that is not in the                       some seconds not
//	           view yet
//	doubtful   ours, but nobody knows whether the last   unavailable     likewise
//	           record counts, for the broker does not
//	           answer
//	stopped    the broker lost what it had acked, or     unavailable     unavailable
//	           has what no reader of ours understands:
//	           a human has to look
//
// The first caller who has the turn of a queue does what is to be done for it, and a
// goroutine a queue does so where nobody calls. After a failure nobody tries again for a
// moment.
//
//	unowned -> taking    the registry says that the queue is ours
//	taking  -> owned     an empty record of ours counts; what counted before it and was not
//	                     in the view was replayed into it (replay.go); the last records are
//	                     in memory (tail.go)
//	owned   -> waiting   a script failed; it is repeated until it succeeds
//	owned   -> doubtful  an append had no clear answer; the queue is taken over anew under
//	                     another writer id. The record counts then, and is finished, or it
//	                     is void, and is appended once more
//	any     -> unowned   a record of somebody else counts (lost): all that is known of the
//	                     queue is forgotten. Or the registry says that it is another's: what
//	                     is on its way is finished, acks that wait are written, and then it
//	                     is forgotten
//
// # What is certain
//
//   - What is answered as applied is in a record that counts and in the view, and is seen by
//     every reader from then on.
//   - A record that counts and was not answered is answered as repeated when it is sent
//     again, by whoever owns the queue then: the records of the last while are read back at
//     a take-over (Known), older ones are in the windows of the ledger.
//   - One record of a queue is on its way at a time; it takes all that waits, up to the size
//     of a record. One queue's failure is its own.
//   - Acks of devices wait in memory for a second at most and are lost with the process. A
//     node that drains lets none wait (Drain), nor does one whose queue another node has as
//     soon as it has joined: then each is answered when it is written.
//   - What Redis lost is brought back: records that it lacks are replayed (replay.go); where
//     it is empty, from the history and the queue while conversations that are back, or in
//     memory, go on (rebuild.go).
//   - Nobody writes into a queue of which the view, or the history, has taken in what the
//     broker does not have: it was acked, and is late, or lost until an operator gives it up.
//   - A conversation that Redis does not give back as it was written holds nobody else up: it
//     is left out of a replay, and of what the history is fed if it is lost for good, nothing
//     reads or writes it, and it is brought back alone, by the same means (damaged.go).
//   - What the broker lost and an operator gave up (chain.Loss) no view is brought past by
//     replaying: the view has come to its end, or is made anew from the history, which has
//     every head by then.
//   - A node that stood still does not answer readers from its memory before it has seen
//     that the queue is still its own.
//
// # Files
//
//	owner.go     all queues of a node; ports.go: what it needs
//	queue.go     a queue and its turns; tend.go: what is done without being asked
//	take.go      taking a queue over, and letting it go
//	health.go    queues that have not been writable for long
//	retention.go for how long the broker keeps records; late.go: whether transfer takes them before
//	write.go     from batches to the answer; split.go: as records of bounded size
//	finish.go    a record on its way: appended, in the view, settled
//	replay.go    records that a view lacks; rebuild.go: a view that is empty
//	damaged.go   conversations that a view does not give back
//	tail.go      the newest messages; recent.go: as readers see them; back.go: read back
//	feed.go      records on their way to the history
//	inbox.go     acks that wait, laid over what the view says
package owner

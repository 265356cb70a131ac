// Package cluster brings transfer the records of the cluster's queues.
//
// A transfer node has a Queue for each class. By rendezvous hashing over the registry's view it has
// a share of the queues (share.go). It reads each of them on one goroutine (follower.go), which
// pulls from the broker, applies the rule of the chain, holds back records that are not visible yet
// and hands the others over. Records that are handed over and not done are remembered (undone.go).
// The mark up to which all are done is kept in Redis (state.go, keeper.go), and with it the
// gateways that are owed a hint (owed.go). Directory answers the look-ups of all records that were
// handed over together with one question.
//
// # What is visible
//
// A record may be handed over when the view of its queue has reached it: a device that is missing
// in the directory after that finds the record by SYNC. The view's mark says how far the view has
// come, and everything up to it is durable. So records are taken up to the record of the view's
// mark, and never just up to its offset: the broker shows records before they are durable, and
// after a power cut other records may be at their offsets. Bytes at or before the mark that are
// pulled after the mark was read are durable. If a record among them counts, all records that it
// builds on count too. If the record of the view's mark does not count here, the follower has
// read something that the broker does not have any more, and it begins again.
//
// If the view is further on than what was read, the follower pulls again from the last record that
// it handed over. So it notices that the broker has lost what it read, and a retention that has
// passed that record stops it (chain.ErrRetention).
//
// # Where a follower begins
//
// A follower begins at its own mark, and not at an offset in the broker. Up to that mark every
// gateway has answered, its registration has ended, or it is owed a hint, which is stored with the
// mark. A mark behind the broker's retention is an
// error (chain.ErrRetention), and so is one that the broker does not have (chain.ErrLost). Both
// need a human. Records after the mark are handed over again, so receivers must be idempotent.
//
// If an operator gave up what the broker lost, there are records that say so (chain.Loss), also
// at the offset of a mark that is lost. The follower goes on behind them, and every gateway is
// told to hint everybody to sync, as it is when Redis has no mark.
//
// When a cluster is made, the marks are set to the beginning. If Redis has lost a mark, the
// follower waits until the owner of the queue has confirmed the view, and begins at the view's
// mark. Connected devices may have missed earlier records. So every gateway is told to hint
// everybody to sync, and the new mark is not saved before all gateways have answered.
//
// # What cannot be handled
//
// Queue is transfer's Parking: a record of which something could not be handled is kept in
// Redis (package parked) before it counts as done, and the queue goes on meanwhile.
//
// A queue that cannot be followed is tried again for ever. After a minute Health names it
// (health.go). Gauges says how far behind this node is with each queue (lag.go).
//
// # Keys
//
// P is the cluster's name, and C.Q are the class and the number of a queue. The hash tag is that
// of the queue's view.
//
//	{P.C.Q}v  hash, the view's: its fields a (mark) and r (the run of Redis under which it
//	          was confirmed) are read
//	{P.C.Q}t  string, transfer's mark: version u8, offset u64, writer u64, number u64; then the
//	          gateways that are owed a hint: their number u16, the epoch of each u64
//	{P.C.Q}k  hash, parked records
package cluster

// Package cluster brings transfer the records of the cluster's queues.
//
// A transfer node has a Queue for each class. It reads those queues that are its share by
// rendezvous hashing over the registry's view (share.go), each on one goroutine
// (follower.go): it pulls from the broker, applies the chain's rule, holds back what is not
// visible yet and hands the rest over. What is handed over and not done is remembered
// (undone.go); up to where all is done is kept in Redis (state.go, keeper.go). Directory
// answers the look-ups of all records that were handed over together with one question.
//
// # What is visible
//
// A record may be handed over once the view of its queue has come to it: a device that is
// not found in the directory after that finds the record by SYNC. The view says how far it
// has come by a mark, and what it has come to is durable. So records are taken up to one
// that is the view's mark, never up to an offset: the broker shows records before they are
// durable, and a power cut puts others in their place. Bytes at or before the mark that
// are pulled after the mark was seen are durable, and if a record among them counts,
// so does all that it follows. If the view's mark is a record that does not count here,
// what was read is not what the broker has now: the follower begins again.
//
// # Where a follower begins
//
// At its mark, up to which every gateway has answered or its registration has ended; no
// offset in the broker counts. A mark that lies behind the broker's retention is an error
// (chain.ErrRetention), and so is one that the broker does not have (chain.ErrLost): both
// need a human. What stands behind the mark is handed over again, to
// receivers that are idempotent.
//
// Where an operator gave up what the broker lost, there are records that say so (chain.Loss),
// also at the place of a mark that is lost. Behind them the follower goes on, and every gateway
// is told to hint everybody to sync, as where Redis has no mark.
//
// Whoever makes a cluster sets the marks to the beginning. Where Redis has none, because it
// lost it, the follower waits
// until the view is confirmed by the owner of the queue and begins at its mark. Whoever is
// connected may have missed what came before, so every gateway is told to hint everybody to
// sync, and the mark is not kept before all have answered.
//
// # What cannot be handled
//
// Queue is transfer's Parking: a record of which something could not be handled is kept in
// Redis (package parked) before it counts as done, and the queue goes on meanwhile.
//
// A queue that cannot be followed is tried again for ever. After a minute of that Health names
// it (health.go).
//
// # Keys
//
// P is the cluster's name, C.Q a class and a number of a queue. The tag is that of the
// queue's view.
//
//	{P.C.Q}v  hash, the view's: its fields a (mark) and r (the run of Redis under which it
//	          was confirmed) are read
//	{P.C.Q}t  string, transfer's mark: version u8, offset u64, writer u64, number u64
//	{P.C.Q}k  hash, parked records
package cluster

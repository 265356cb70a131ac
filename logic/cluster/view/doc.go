// Package view keeps the cluster's conversations in Redis. The view of a queue is made from the
// records of the queue alone, except for counts that readers found out (n), and remembers how far
// in the queue it has come. So Redis may be emptied, or come back older, and the view is brought
// forward again.
//
// The owner of a queue has a Writer: it brings the view forward record by record
// (Forward), reads conversations back that its ledger does not have in memory (Load,
// ledger.Source's), and repairs what Redis lost (repair.go). Every logic node has a View,
// which is logic.Inbox.
//
// # Keys
//
// P is the cluster's name, C.Q a class and a number of a queue. All that is made from a
// queue's records has that queue's hash tag, so one script reaches it.
//
//	{P.C.Q}v      hash, the state of the queue's view:
//	                a  the mark of the last record that is in it (values.go), missing: none
//	                s  the last stamp that was given, u64
//	                r  the run id of the Redis under which its owner confirmed it
//	                g  a digest of the run ids of all masters at that time, 8 bytes
//	                i  there while not everything is back
//	                d  the key of a conversation that somebody could not read; its owner
//	                   takes it out once it knows of it
//	{P.C.Q}c<key> hash, a conversation; key is kind u8, a u64, b u64:
//	                p  progress: head, time, count; then the stamp of the last change
//	                l  the newest message with its body cut, and the size of the whole
//	                m<user>          a member's cursors and counts
//	                n<user>          counts as of that member's read cursor, where m does not
//	                                 have them: what a reader found out
//	                d<user><device>  a device's ids and ack
//	                x  there while what else was known of it is not back, or records were
//	                   left out because it was damaged
//	                g  there when it is damaged and nobody has all of it any more
//	{P.C.Q}u<user> sorted set without scores: the targets (kind u8, id u64) under which
//	              the user has conversations of this queue. It grows with the first
//	              message and with none after it
//	P:m<user>     string, the user's mask: 8 bytes of the run id under which it was found
//	              whole, then a bit for each queue in which the user may have anything
//
// Integers are big-endian. A value begins with a version, u8. Additions stand at its end, and a
// reader of an older program ignores them. What Redis gives is input: a value of any other form is
// counted, and only what it is about is unavailable. A conversation with such a value is left out
// of lists, and the reader tells the owner of its queue, in d. If a record is taken in for a
// damaged conversation, the conversation is left out and marked by x: from then on it lacks the
// record, even if Redis gives it back later. A conversation whose key is gone while an inbox still
// names it is damaged too, and does not begin anew.
//
// # What is certain
//
// The script that brings the view forward does so only from the mark that its writer believes. So
// of several writers one wins, and repeating the script does nothing. It sets fields and never adds
// to them. It stamps what changed with Redis' own time, or with the queue's last stamp plus one if
// that is more. So stamps rise whatever clocks do, and no change gets a stamp below one that a
// reader was told as the next.
//
// How many messages count up to a seq never changes. So any reader may write down counts that it
// found out (n), if the member's cursor is still at that seq and has no counts; the conversation
// then gets a new stamp, as by a record. Until then it is in each list of the member.
//
// A reader believes a queue's view only under the run of Redis under which the owner confirmed it.
// The script that reads compares the runs itself. A load is believed only at the mark that the
// owner knows.
//
// A mask is believed only under the run of Redis under which it was made whole: a reader looked
// through all queues while all of them were confirmed under the present masters, and wrote down
// what it found. A writer sets a bit before each try of the script that needs it. So a mask that
// was lost, or lost a bit, does not count as whole.
package view

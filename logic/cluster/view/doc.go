// Package view is what Redis holds of the cluster's conversations. It is made from the
// records of the queues alone and remembers for each queue how far it has come, so it
// may be emptied, or come back older, and is brought forward again.
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
//	                   takes it out
//	{P.C.Q}c<key> hash, a conversation; key is kind u8, a u64, b u64:
//	                p  progress: head, time, count; then the stamp of the last change
//	                l  the newest message with its body cut, and the size of the whole
//	                m<user>          a member's cursors and counts
//	                d<user><device>  a device's ids and ack
//	                x  there while what else was known of it is not back
//	                g  there when it is damaged and nobody has all of it any more
//	{P.C.Q}u<user> sorted set without scores: the targets (kind u8, id u64) under which
//	              the user has conversations of this queue. It grows with the first
//	              message and with none after it
//	P:m<user>     string, the user's mask: 8 bytes of the run id under which it was found
//	              whole, then a bit for each queue in which the user may have anything
//
// Integers are big-endian. A value begins with a version, u8; what is added later stands
// at its end, and a reader of an older program ignores it. What Redis gives is input: a
// value that has not this form is counted, and what it is about is unavailable and nothing
// else. A conversation of which that is so is left out of lists, and the owner of its queue
// told, in d; one that is of another type is written around.
//
// # What is certain
//
// The script that brings the view forward does so only from the mark that its writer
// believes, so of several writers one wins, and repeating it does nothing. It sets fields
// and never adds to them. It stamps what changed with Redis' own time, or with the
// queue's last stamp plus one where that is more, so stamps rise whatever clocks do; a
// stamp that was shown to a reader as the next one is taken by then.
//
// A reader believes a queue's view only under the run of Redis under which its owner
// confirmed it, which the same script compares that reads. A load is believed only at the
// mark that the owner knows. A mask is believed only under the run of Redis under which a
// reader looked through all queues while all of them were confirmed under the present
// masters, and wrote down what it found; a bit is set before the
// script that needs it, each time that the script is tried. So a mask that was lost, or
// lost a bit, is one that is not whole.
package view

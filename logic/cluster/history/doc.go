// Package history is logic's History over ClickHouse: what the owners of a node feed into
// it, and how it is read back. The tables are public; docs/history.md describes them.
//
// Nothing that is read is trusted to be all there is. Each message names the seq of the one
// before it in its conversation, so a run of rows proves by itself that none is missing: a
// row that has not been inserted yet, or that the server forgot because it answers before
// it has synced, ends the page instead of looking like a hole. What is newer than the last
// insert comes from the memory of the queue's owner (Tail).
//
//	store.go      the connections, and what goes wrong with them
//	migrate.go    the schema and its versions
//	line.go       calls that wait for the query under way
//	feed.go       what the owners give; block.go: as columns
//	flush.go      when it is inserted; insert.go: the statements
//	marks.go      how far the queues are taken in, and what of it is certain
//	pages.go      logic.History; chain.go: which rows prove what; query.go: the statements
//	walk.go       the messages of a device; counts.go: counts as of a cursor
//	states.go     conversations with members and devices; rebuild.go: all of a queue
//	lost.go       what was lost and given up
//	retention.go  weeks that are dropped
package history

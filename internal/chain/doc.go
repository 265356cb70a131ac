// Package chain makes a queue of a broker into a log of which everybody has the same
// idea, although any number of writers may append to it at any time.
//
// Records are chained: the head of each names the last record that counted when its
// writer made it. A record counts if and only if what it names is the last counting
// record before it (Follower). Who writes, who makes a view and who pushes to devices
// apply this one rule to the same bytes in the same order and so agree for ever,
// without lease, clock or epoch.
//
// Where a broker lost what it had acknowledged, and an operator gives that up (GivenUp), the
// queue has records that say so, which the rule heeds (loss.go).
//
// A Reader applies the rule to what a Stream, the port of a broker, brings. A Writer
// appends with one record in flight, and takes a queue over from whoever wrote it.
// docs/chain.md has the argument why this is safe and what it needs of a broker.
package chain

// Package chain turns a queue of a broker into a log that all processes read the same way,
// although any number of writers may append to it at any time.
//
// Records are chained: the head of each record names the last counting record that its writer
// knew. A record counts if and only if the record that it names is the last counting record
// before it (Follower). The owner of a queue, the makers of views and transfer apply this one
// rule to the same bytes in the same order. So they agree for ever, without lease, clock or
// epoch.
//
// A broker may lose records that it acknowledged. If an operator gives them up (GivenUp), the
// queue gets records that say so, and the rule takes account of them (loss.go).
//
// A Reader applies the rule to the records of a Stream, which is the port to a broker. A Writer
// appends, with one record in flight, and can take a queue over from its previous writer.
// docs/chain.md argues why this is safe and lists what it needs of a broker.
package chain

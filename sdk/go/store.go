package gannet

// Store is where a client remembers what must survive a restart: an ordered list
// of records. What is in a record is the client's business. A store only keeps
// records, whole and in order; it needs no change when they do. FileStore is one.
//
// A store serves one client at a time. It belongs to one device of one user on
// one server: the client writes down whose it is and refuses the store of
// somebody else with an *OwnerError.
//
// Load is called first and once. Append and Rewrite are called one at a time,
// Sync at any time, also several times at once and beside them. After an error
// the client takes nothing more to send and writes nothing more, EventStoreFailed
// tells of it, and receiving goes on.
type Store interface {
	// Load calls record with every record, oldest first, and ends with the error
	// that record returns. A record is valid only until record returns. A store that
	// is new has none.
	Load(record func([]byte) error) error

	// Append adds records at the end, in their order. None of them needs to
	// survive a crash before the next Sync has returned, but none may survive
	// without those before it. The records must not be kept: they change after the
	// call. They have at most 128 KiB each. An Append that fails may have added some
	// of them, but never the last.
	Append(records ...[]byte) error

	// Sync returns once everything appended before is durable.
	Sync() error

	// Rewrite puts records in the place of all that are there. A crash leaves the
	// old ones or the new ones; when it returns the new ones are durable. The
	// client calls it when most of what was appended is out of date. The records
	// must not be kept.
	Rewrite(records ...[]byte) error
}

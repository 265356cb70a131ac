package main

// mutants are the changes that the tests must notice. If the text that a mutant replaces is gone
// from the source, update the mutant; delete it if the code that it broke is gone too.
var mutants = []mutant{
	// rule.go: what counts.
	{"rule.go", "case h.Prev == f.last:", "case h.Prev.Offset <= f.last.Offset:", "a record counts only if it names the last one before it"},
	{"rule.go", "case h.Prev == f.last:", "case h.Prev.Offset == f.last.Offset:", "a record is named by its writer and number, too"},
	{"rule.go", "why, f.last = Counts, own", "why, f.last = Counts, h.Prev", "what counts is what the next one names"},
	{"rule.go", "why, f.last = Counts, own", "why, f.last = Counts, Mark{offset, h.Writer, 1}", "each record has a number of its own"},
	{"rule.go", "case h.Queue != f.queue:", "case h.Writer == 0:", "a record of another queue does not count"},
	{"rule.go", "case broken:", "case broken && h.Writer != 0:", "what is no record does not count"},
	{"rule.go", "if offset != f.next {", "if offset < f.next {", "a hole is noticed"},
	{"rule.go", "if offset != f.next {", "if offset > f.next {", "a record that comes again is noticed"},
	{"rule.go", "case !f.confirmed && !broken && own == f.last && h.Queue == f.queue:", "case !f.confirmed && !broken:", "a mark is looked for before anything is built on it"},
	{"rule.go", "case !f.confirmed && !loss:", "case !f.confirmed && !loss && own.Offset < 0:", "a mark that is not there is noticed"},
	{"rule.go", "f.confirmed, why, f.last = true, Counts, own", "f.confirmed, why = true, Counts", "what counts behind a loss names it"},
	{"rule.go", "case h.Kind == Loss:\n\t\twhy = Stale", "case h.Kind == Loss:\n\t\twhy, f.last = Counts, own", "a loss that comes late, or twice, does not count"},
	{"rule.go", ", h.Prev.Offset < f.through:", ":", "what builds on what is lost does not stop others"},
	{"rule.go", "f.confirmed, why = true, Known\n\t\tf.through = h.Through", "f.confirmed, why = true, Known", "nor those who begin at a loss"},

	// loss.go: what is given up.
	{"loss.go", "mark.Offset < h.Through", "mark.Offset <= h.Through", "a loss ends at its last record"},
	{"loss.go", "h.Kind == Loss && h.Queue == queue && mark.Offset < h.Through", "h.Kind == Loss && h.Queue == queue", "a loss stands for what lies before its end alone"},
	{"loss.go", "h.Kind == Loss && h.Queue == queue && mark", "h.Kind == Loss && mark", "a loss of another queue is none"},
	{"loss.go", "failed != nil || highest >= g.Through", "failed != nil || highest >= 0", "every mark in what is lost finds a record of the loss"},
	{"loss.go", "case errors.Is(err, ErrLost):", "case errors.Is(err, ErrLost) && g.Through < 0:", "a loss whose end is another record's says so"},
	{"head.go", "if len(body) != 8 || !beginning {", "if len(body) < 8 {", "a loss is whole, and names nothing"},
	{"rule.go", "if h.Number > 1 && h.Prev.Offset < offset {", "if h.Number > 1<<60 {", "who read what a power cut took notices"},
	{"rule.go", "if h.Number > 1 && h.Prev.Offset < offset {", "if h.Prev.Offset < offset {", "the first record of a writer does not stop others"},
	{"rule.go", "if errors.Is(err, ErrLater) {", "if errors.Is(err, ErrLost) {", "nobody goes past a record of a later version"},

	// head.go: what is a record.
	{"head.go", "binary.BigEndian.Uint32(b) != magic ||", "", "bytes of somebody else are no record"},
	{"head.go", " || binary.BigEndian.Uint32(b[4:]) != crc32.Checksum(b[8:], table)", "", "damage is noticed"},
	{"head.go", "if b[8] > version {", "if b[8] > 200 {", "a record of a later version is not void"},
	{"head.go", "h.Kind == Sealed || h.Kind > Loss", "h.Kind > Loss", "nothing is appended behind the end of a queue that moved"},
	{"head.go", "uint64(c.Mark.Offset)+1", "uint64(c.Mark.Offset)", "marks begin above 0"},

	// writer.go: appending.
	{"writer.go", "if offset == next {", "if offset >= next {", "a record at a later offset does not count before what lies between was read"},
	{"writer.go", "if offset < next {", "if offset < 0 {", "a broker that lost something is noticed"},
	{"writer.go", "if err == nil && len(counting) == 1 && counting[0].Writer == w.id {", "if err == nil && len(counting) > 0 {", "a foreign record between takes the queue away"},
	{"writer.go", "w.taken = false // until we know that it counts", "_ = w // until we know that it counts", "after a doubt nothing is appended"},
	{"writer.go", "\tw.number++\n", "", "each record of a writer has a number of its own"},
	{"writer.go", "w.doubt = Doubt{writer: w.id, number: w.number}", "w.doubt = Doubt{}", "what was in doubt is found again"},
	{"writer.go", "if err := w.take(&counting[i]); err != nil {", "if err := error(nil); err != nil && i < 0 {", "foreign records come to the caller before it hears that the queue is lost"},
	{"writer.go", "case w.doubt.Counts: // and", "case false: // and", "a record that counts is not said to be void because somebody took over behind it"},
	{"writer.go", "if errors.Is(err, ErrRefused) {", "if err != nil {", "a record that may be there is in doubt"},
	{"writer.go", "size > w.options.Most", "size > w.options.Most+1", "records are bounded"},
	{"writer.go", "w.latest))) < freshness", "w.latest))) < 2*freshness", "an idle queue has a fresh record"},
	{"writer.go", "max(w.latest, r.Time), max(w.registry, r.Registry)", "max(w.latest, r.Time), w.registry", "a loser learns which view of the registry took the queue"},
	{"writer.go", "return w.end(err)\n\t}\n\treturn nil\n}\n", "return err\n\t}\n\treturn nil\n}\n", "nobody goes on past a record that was not taken in"},

	// takeover.go: taking over.
	{"takeover.go", "w.id, w.number = w.options.random()|1, 1", "w.id, w.number = max(w.id, 1), w.number+1", "after a doubt a writer is another one"},
	{"takeover.go", "w.id, w.number = w.options.random()|1, 1", "w.id, w.number = w.options.random()|1, 2", "a take-over is the first record of its writer"},
	{"takeover.go", "ours = ours || why == Counts", "ours = ours || why <= Other", "a take-over that is void is none"},
	{"takeover.go", "err = w.reader.ReadTo(ctx, offset, func", "err = w.reader.ReadTo(ctx, min(offset, w.reader.Next()), func", "a take-over reads what lies before it"},
	{"takeover.go", "return w.take(r)", "return nil", "what counts comes to the caller of a take-over"},
	{"takeover.go", "if w.registry > w.view {", "if false {", "two nodes do not steal a queue to and fro"},
	{"takeover.go", "case first > max(mark.Offset, 0):", "case first > max(mark.Offset, 0) && mark != Beginning:", "an empty view of a queue that has lost its beginning refuses"},
	{"takeover.go", "case first > max(mark.Offset, 0):", "case first > max(mark.Offset, 0)+100:", "a mark behind retention refuses"},
	{"takeover.go", "if next := w.reader.Next(); offset < next {", "if next := w.reader.Next(); offset < 0 && offset < next {", "a take-over notices that the broker lost something"},
	{"takeover.go", "w.registry > 0 {\n\t\t//", "w.registry > 1<<60 {\n\t\t//", "a take-over in doubt sees that its last record is there yet"},
	{"takeover.go", "return false\n\t})\n", "return w.number == 0\n\t})\n", "a take-over looks at its mark alone"},

	// reader.go: reading.
	{"reader.go", "int(min(end-before, pullLimit))", "pullLimit", "a replay reads up to a known end alone"},
	{"reader.go", "mark = r.Prev", "mark.Offset--", "walking back leaves void records out"},
	{"reader.go", "r.Queue != queue || r.Mark != mark && !r.covers(queue, mark) {", "r.Queue != queue {", "walking back finds what it looks for, or says so"},
}

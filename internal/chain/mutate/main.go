// Command mutate breaks the chain on purpose, one change at a time, and lists the changes that
// the tests do not notice:
//
//	go run ./internal/chain/mutate
package main

import "gannet/internal/mutate"

// mutant is a line of the table.
type mutant mutate.Mutant

func main() {
	table := mutate.Table{Package: "gannet/internal/chain", Rounds: [][]string{{"-test.run=^TestModel$"}, {"-test.skip=^TestModel$"}}}
	for _, m := range mutants {
		table.Mutants = append(table.Mutants, mutate.Mutant(m))
	}
	mutate.Main(table)
}

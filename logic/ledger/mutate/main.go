// Command mutate breaks the ledger on purpose and says which of the breaks its tests do not
// notice:
//
//	go run ./logic/ledger/mutate
package main

import "gannet/internal/mutate"

// mutant is a line of the table.
type mutant mutate.Mutant

func main() {
	table := mutate.Table{Package: "gannet/logic/ledger", Rounds: [][]string{{"-test.skip=^TestRandomGames$"}, {"-test.run=^TestRandomGames$"}}}
	for _, m := range mutants {
		table.Mutants = append(table.Mutants, mutate.Mutant(m))
	}
	mutate.Main(table)
}

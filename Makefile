.PHONY: build test race check mutants crash bench generate

build: ## the gannet command
	go build -o gannet .

test: ## what the README says
	scripts/test

race:
	scripts/test -- -race

check: ## what has to be clean before a commit
	test -z "$$(gofmt -l .)"
	go vet ./... && go vet -tags cluster ./...
	go tool staticcheck ./... && go tool staticcheck -tags cluster ./...
	go mod tidy -diff
	go generate ./... && git diff --exit-code -- protocol idl

mutants: ## break the ledger and the chain in every way that matters; their tests have to notice
	go run ./logic/ledger/mutate
	go run ./internal/chain/mutate

crash: build ## kill the server twenty times under load
	./gannet bench crash --rounds 20

# Whoever may measure the machine's pauses does so beside the comparison. What fills
# the disk comes late: what it leaves to delete shows in the next run.
PAUSES := $(if $(filter 0,$(shell id -u)),--pauses)

bench: build ## the figures of docs/figures.md
	./gannet bench limit
	./gannet bench idle
	go test -run '^$$' -bench Message -benchmem ./internal/endtoend
	./gannet bench pairs --compare-bare $(PAUSES)
	./gannet bench pairs --sdk --rate 25000
	./gannet bench pairs --users 200 --window 32 --size 4096 --duration 60s
	./gannet bench pairs --users 200 --window 32 --size 16384 --duration 60s
	./gannet bench crash --rounds 20
	./gannet bench storm
	./gannet bench soak
	./gannet bench hostile --no-bars

generate:
	go generate ./...

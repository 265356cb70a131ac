.PHONY: build test race check crash bench generate

build: ## the gannet command
	go build -o gannet .

test: ## what the README says
	go test ./...

race:
	go test -race ./...

check: ## what has to be clean before a commit
	test -z "$$(gofmt -l .)"
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff
	go generate ./... && git diff --exit-code -- protocol

crash: build ## kill the server twenty times under load
	./gannet bench crash --rounds 20

# Whoever may measure the machine's pauses does so beside the open loops. These
# come first: the gigabytes that a full window leaves to delete show as pauses of
# 20 ms and more in the next run.
PAUSES := $(if $(filter 0,$(shell id -u)),--pauses)

bench: build ## the README's figures
	./gannet bench pairs $(PAUSES) --rate 1000
	./gannet bench pairs $(PAUSES) --rate 10000
	./gannet bench pairs $(PAUSES) --rate 25000
	./gannet bench pairs $(PAUSES) --bare --rate 25000
	./gannet bench pairs --sdk --rate 25000
	./gannet bench pairs --with-limit --window 1
	./gannet bench pairs --bare --window 1
	./gannet bench pairs --with-limit --window 32
	./gannet bench pairs --bare --window 32
	./gannet bench limit
	./gannet bench idle
	go test -run '^$$' -bench Message -benchmem .

generate:
	go generate ./...

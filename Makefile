SHELL := /bin/bash -e -o pipefail

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
PORTABLE    := ./maildrop/... ./pop3/... ./pop3client/... ./pop3server/... ./pop3test/... ./sasl/... ./internal/fetch/...
FUZZTIME    ?= 10s
STRIKES     ?= 600
FOR         ?= 30m
BENCHFLAGS  ?= -write

.PHONY: help test race lint cross fuzz interop interop-bucket prove prove-bucket prove-fetch prove-timing sign-in bench

help: ## list the targets
	@sed -n 's/^\([a-z-]*\): ## /\1\t/p' $(MAKEFILE_LIST)

test: ## run the tests; needs nothing but Go
	go test ./...

race: ## run the tests with the race detector; needs a C compiler
	go test -race ./...

lint: ## check format, vet and staticcheck
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	go vet ./...
	go vet -tags interop ./test/...
	go vet -tags bucket ./internal/store/bucket
	go run $(STATICCHECK) ./...
	go run $(STATICCHECK) -tags interop ./test/...

cross: ## build and vet for the other platforms
	for arch in amd64 arm64; do \
		echo "linux darwin windows, $$arch"; \
		GOOS=linux GOARCH=$$arch go build ./...; \
		GOOS=darwin GOARCH=$$arch go build ./...; \
		GOOS=darwin GOARCH=$$arch go vet ./...; \
		GOOS=windows GOARCH=$$arch go build $(PORTABLE); \
		GOOS=windows GOARCH=$$arch go vet $(PORTABLE); \
	done

fuzz: ## run each fuzz target for FUZZTIME
	for pkg in $$(go list ./...); do \
		for name in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$name"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

interop: ## run other people's clients and servers; installs them, needs Debian and root
	test/interop/install
	go test -tags interop -count 1 -timeout 15m -p 1 ./test/...

interop-bucket: ## run the object store's tests against versitygw, which is built first
	test/interop/bucket

prove: ## go on with every campaign FOR a time into docs/PROOF.md and its ledger; needs Debian and root
	test/interop/install
	go run ./test/prove -for $(FOR)

prove-fetch: ## kill fetchers STRIKES times in each mode into docs/EXACTLY-ONCE.md; takes an hour or two, needs Debian and root
	test/interop/install
	cd test/interop && go test -tags interop -count 1 -timeout 6h -run '^TestExactlyOnce$$' -v -args -strikes $(STRIKES) -write

sign-in: ## sign in by every mechanism, account source and client into docs/SIGN-IN.md; needs Debian and root
	test/interop/install
	cd test/interop && go test -tags interop -count 1 -timeout 20m -run '^TestSignIn$$' -args -write

prove-bucket: ## have three servers of one bucket work over bad networks for the time FOR, and check what they did
	test/interop/bucket -run '^TestCluster$$' -v -timeout 0 -args -cluster $(FOR)

prove-timing: ## compare the times of names that exist and names that do not, 100,000 pairs of each; takes some minutes
	go test -count 1 -timeout 2h -run '^TestEqualTime$$' -v ./internal/auth -args -pairs 100000

bench: ## measure beside Dovecot, fetchmail, mpop and getmail6 into docs/BENCHMARKS.md; needs Debian and root
	test/interop/install
	go run ./bench $(BENCHFLAGS)

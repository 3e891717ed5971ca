// Command prove runs the campaigns of all rigs for as long as it is given,
// adds what they did to the ledger and writes the page that shows it.
//
//	go run ./test/prove -for 30m
//	go run ./test/prove -only 'power cut' -for 2h
//	go run ./test/prove -only '^power cut, ext4$' -seed 17
//
// It may be ended at any time and goes on where it was. It exits with 1 if a
// promise was broken, a mutant went unseen, or a campaign could not run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var (
		long = flag.Duration("for", 30*time.Minute, "how long to run; the batch at hand ends before its time is over")
		only = flag.String("only", "", "run the campaigns whose name this regular expression matches")
		seed = flag.Uint64("seed", 0, "repeat the batch of this seed, and nothing else")
		file = flag.String("ledger", "docs/proof.jsonl", "the ledger")
		page = flag.String("page", "docs/PROOF.md", "the page to write")
		list = flag.Bool("list", false, "list the campaigns and where they stand, and end")
	)
	flag.Parse()
	match, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	book, err := openLedger(*file)
	if err != nil {
		return err
	}
	defer book.close()
	all := campaigns()
	if *list {
		fmt.Print(table(book, all))
		return nil
	}
	p := prover{book: book, out: os.Stdout, now: time.Now, commit: commit(ctx)}
	for _, c := range all {
		if match.MatchString(c.Name) {
			p.campaigns = append(p.campaigns, c)
		}
	}
	if len(p.campaigns) == 0 {
		return fmt.Errorf("no campaign is called like %q; -list shows them", *only)
	}
	if *seed != 0 {
		err = p.repeat(ctx, *seed)
	} else {
		ending, cancel := context.WithTimeout(ctx, *long)
		defer cancel()
		err = p.prove(ending)
	}
	return errors.Join(err, os.WriteFile(*page, []byte(proof(book, all)), 0o644))
}

// commit is what is being proved, with a plus sign if there is more in the
// tree than in the commit.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=+", "--exclude=*").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

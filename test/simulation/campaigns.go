package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/postwain/postwain/test/campaign"
)

// worldsPerBatch is how many worlds, each of some lives, one batch sees.
const worldsPerBatch = 100

// Campaigns are the simulated sessions.
func Campaigns() []campaign.Campaign {
	c := campaign.Campaign{
		Name: "simulated sessions", Unit: "sessions", Target: 1_000_000, Needs: goCommand,
		Run: func(ctx context.Context, seed uint64) (campaign.Result, error) {
			return run(ctx, seed, worldsPerBatch, "")
		},
	}
	for _, name := range mutants() {
		c.Mutants = append(c.Mutants, campaign.Mutant{Name: name, Run: func(ctx context.Context) (campaign.Result, error) {
			return run(ctx, 1, worldsPerBatch, name)
		}})
	}
	return []campaign.Campaign{c, {
		Name: "simulated fetches", Unit: "schedules", Target: 100_000, Needs: goCommand,
		Run: func(ctx context.Context, seed uint64) (campaign.Result, error) {
			return fetches(ctx, seed, schedulesPerBatch)
		},
		Mutants: []campaign.Mutant{{Name: "no keys", Run: func(ctx context.Context) (campaign.Result, error) {
			return fetches(ctx, 1, 150, "-no-keys")
		}}},
	}}
}

// schedulesPerBatch is how many random schedules of a fetcher one batch sees.
const schedulesPerBatch = 2000

// fetches has the tests of the fetcher make other random schedules than they do
// by themselves: up to a dozen rounds of which links are cut, the server refuses,
// the destination is in trouble and the power goes.
func fetches(ctx context.Context, seed, n uint64, more ...string) (r campaign.Result, err error) {
	args := []string{"test", "-count=1", "-run", "^TestRandomSchedules$", "./internal/fetch", "-args",
		"-first", strconv.FormatUint(seed*schedulesPerBatch, 10), "-schedules", strconv.FormatUint(n, 10)}
	cmd := exec.CommandContext(ctx, "go", append(args, more...)...)
	out, err := cmd.CombinedOutput()
	r.Count = int64(n)
	switch failed := (*exec.ExitError)(nil); {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case errors.As(err, &failed) && failed.ExitCode() == 1 && bytes.Contains(out, []byte("FAIL")):
		r.Find("seed %d: %.4000s", seed, out)
		return r, nil
	case err != nil:
		return r, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return r, nil
}

// The faults that can be built into the server or its disk.
const (
	mutantUnsynced  = "no sync of the message"
	mutantEager     = "marked mail goes when the client hangs up"
	mutantLocked    = "a maildrop stays locked when its client is gone"
	mutantHasty     = "250 before the message is stored"
	mutantForgetful = "a file is not closed"
)

func mutants() []string {
	return []string{mutantUnsynced, mutantEager, mutantLocked, mutantHasty, mutantForgetful}
}

func goCommand() error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("the go command, which runs the bubbles: %w", err)
	}
	return nil
}

// run has the tests of this package play worlds from seed on. One processor, and
// no switch from one goroutine to another but where they wait, make a seed's run
// much the same each time.
func run(ctx context.Context, seed uint64, worlds int, mutant string) (r campaign.Result, err error) {
	dir, err := os.MkdirTemp("", "postwain-simulation-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	result := filepath.Join(dir, "result")
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^TestSeed$", "./test/simulation", "-args",
		"-seed", strconv.FormatUint(seed, 10), "-worlds", strconv.Itoa(worlds), "-mutant", mutant, "-result", result)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	text, missing := os.ReadFile(result)
	if missing == nil {
		return r, errors.Join(json.Unmarshal(text, &r), err)
	}
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) && failed.ExitCode() == 1 {
		r.Find("seed %d: %.4000s", seed, out) // a panic, or goroutines that nothing will wake
		return r, nil
	}
	return r, fmt.Errorf("%s: %w\n%s", cmd, errors.Join(err, missing), out)
}

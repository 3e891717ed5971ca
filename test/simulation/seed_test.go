package simulation

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/postwain/postwain/test/campaign"
)

var (
	seedFlag   = flag.Uint64("seed", 1, "the batch of worlds to play")
	worldsFlag = flag.Int("worlds", 0, "how many worlds it has")
	mutantFlag = flag.String("mutant", "", "the fault to build in")
	resultFlag = flag.String("result", "", "the file for what was found")
)

// TestSeed is a batch of the campaign, which runs it.
func TestSeed(t *testing.T) {
	if *worldsFlag == 0 {
		*worldsFlag = 3
	}
	if !knownMutant(*mutantFlag) {
		t.Fatalf("there is no mutant %q", *mutantFlag)
	}
	r := batch(t, *seedFlag, *worldsFlag, *mutantFlag)
	if *resultFlag == "" {
		for _, f := range r.Findings {
			t.Error(f)
		}
		t.Log(r.Count, r.Figures)
		return
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*resultFlag, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// growth is how many octets more may be in use after many worlds than after
// the first few.
const growth = 4 << 20

// batch plays worlds up to the first that breaks a promise.
func batch(t *testing.T, seed uint64, worlds int, mutant string) (r campaign.Result) {
	var early uint64
	lives, letters := 0, 0
	for i := range worlds {
		w := play(t, seed*1_000_000+uint64(i), mutant)
		r.Count += w.sessions
		lives += w.lives
		letters += w.stored
		if r.Findings = w.findings; len(r.Findings) > 0 {
			return r
		}
		if i == worlds/10 {
			early = inUse()
		}
	}
	late := inUse()
	if late > early+growth {
		r.Find("seed %d: %d octets are in use after %d worlds, and were %d after a tenth of them", seed, late, worlds, early)
	}
	r.Figures = []campaign.Figure{
		{Name: "lives of servers", Value: fmt.Sprint(lives)},
		{Name: "messages that were answered 250", Value: fmt.Sprint(letters)},
		{Name: "memory in use at the end", Value: fmt.Sprintf("%d KiB", late>>10)},
	}
	return r
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestMutantsAreCaught(t *testing.T) {
	for _, name := range mutants() {
		t.Run(name, func(t *testing.T) {
			r := batch(t, 1, 40, name)
			if len(r.Findings) == 0 {
				t.Errorf("not seen in %d sessions", r.Count)
			}
			t.Logf("%d sessions: %.300q", r.Count, r.Findings)
		})
	}
}

//go:build linux

package main

import (
	"errors"
	"time"

	"github.com/postwain/postwain/test/rig"
)

const (
	roundTripOfLink = 50 * time.Millisecond
	loopWorkers     = 64 // of the plain loop; more make it no faster
	fetchRounds     = 3  // how often each fetcher takes its turn
	perBig          = 10000
	perSmall        = 100 // messages for those that would take half an hour
)

// haul is something that is measured, once in each round.
type haul struct {
	name    string
	measure func(*bed) (usage, error)
}

// hauls are all that rows of the table speak of.
var hauls = []haul{
	{"postwain, far", func(b *bed) (usage, error) { return b.fetchBig(b.ours(), roundTripOfLink) }},
	{"plain loop", func(b *bed) (usage, error) { return b.writeBig(false) }},
	{"plain loop and drain", func(b *bed) (usage, error) { return b.writeBig(true) }},
	{"mpop, far", func(b *bed) (usage, error) { return b.fetchBig(rig.Mpop(), roundTripOfLink) }},
	{"fetchmail, far", func(b *bed) (usage, error) { return b.fetchSmall(rig.Fetchmail(), roundTripOfLink) }},
	{"getmail6, far", func(b *bed) (usage, error) { return b.fetchSmall(rig.Getmail(), roundTripOfLink) }},
	{"postwain, near", func(b *bed) (usage, error) { return b.fetchBig(b.ours(), 0) }},
	{"mpop, near", func(b *bed) (usage, error) { return b.fetchBig(rig.Mpop(), 0) }},
	{"fetchmail, near", func(b *bed) (usage, error) { return b.fetchSmall(rig.Fetchmail(), 0) }},
	{"postwain, huge", func(b *bed) (usage, error) { return b.fetchHuge(b.ours()) }},
	{"mpop, huge", func(b *bed) (usage, error) { return b.fetchHuge(rig.Mpop()) }},
	{"all", func(b *bed) (usage, error) { return b.fetchCrowd((*crowd).all) }},
	{"slowest", func(b *bed) (usage, error) { return b.fetchCrowd((*crowd).slowest) }},
}

func seconds(u usage) float64 { return u.seconds }
func memory(u usage) float64  { return u.memory }

// comparison is a row of the table: one haul beside another.
type comparison struct {
	name, unit   string
	value        func(usage) float64
	ours, theirs string // hauls; theirs may be empty
	label        string // says what theirs is
	// The target, of which at most one is not zero: how many times less ours
	// is at least, how many times as much at most, or how much at most.
	times, within, most float64
}

const (
	far  = "10,000 messages of 4 KB, 50 ms round trip"
	near = "10,000 messages of 4 KB, no delay"
)

var comparisons = []comparison{
	{name: far, unit: "s", value: seconds, ours: "postwain, far", most: 5},
	{name: far, unit: "s", value: seconds, ours: "postwain, far", theirs: "plain loop and drain", label: "plain loop while the mail comes", within: 1.25},
	{name: far, unit: "s", value: seconds, ours: "postwain, far", theirs: "plain loop", label: "plain loop alone", within: 1.25},
	{name: far, unit: "s", value: seconds, ours: "postwain, far", theirs: "mpop, far", label: "mpop"},
	{name: far, unit: "s", value: seconds, ours: "postwain, far", theirs: "fetchmail, far", label: "fetchmail, extrapolated"},
	{name: far, unit: "s", value: seconds, ours: "postwain, far", theirs: "getmail6, far", label: "getmail6, extrapolated"},
	{name: near, unit: "s", value: seconds, ours: "postwain, near", theirs: "mpop, near", label: "mpop", times: 2},
	{name: near, unit: "s", value: seconds, ours: "postwain, near", theirs: "fetchmail, near", label: "fetchmail, extrapolated"},
	{name: "memory, 10,000 messages of 4 KB", unit: "MiB", value: memory, ours: "postwain, near", theirs: "mpop, near", label: "mpop", most: 64},
	{name: "memory, 4 messages of 256 MB", unit: "MiB", value: memory, ours: "postwain, huge", theirs: "mpop, huge", label: "mpop", most: 64},
	{name: "4 messages of 256 MB, no delay", unit: "s", value: seconds, ours: "postwain, huge", theirs: "mpop, huge", label: "mpop"},
	{
		name: "100 accounts of 10 servers, 50 ms round trip", unit: "s", value: seconds, ours: "all",
		theirs: "slowest", label: "the slowest alone", within: 1.5,
	},
}

// box gives a mailbox, filled once.
func (b *bed) box(account string, n, size int) (*box, error) {
	if x := b.boxes[account]; x != nil {
		return x, nil
	}
	return b.fillBox(account, n, size)
}

func (b *bed) big() (*box, error) { return b.box(account("fetch", 0), perBig, 4<<10) }

func (b *bed) ours() rig.Fetcher { return rig.PostwainFetch(b.program, "maildir") }

func (b *bed) fetchBig(f rig.Fetcher, roundTrip time.Duration) (usage, error) {
	x, err := b.big()
	if err != nil {
		return usage{}, err
	}
	return b.fetch(f, x, roundTrip)
}

// fetchSmall fetches a part of that many messages and extrapolates. It tries
// again what fails: getmail6 now and then misses the end of the process that
// delivers, and gives up.
func (b *bed) fetchSmall(f rig.Fetcher, roundTrip time.Duration) (usage, error) {
	x, err := b.box(account("fetch", 1), perSmall, 4<<10)
	if err != nil {
		return usage{}, err
	}
	var u usage
	for range 3 {
		if u, err = b.fetch(f, x, roundTrip); err == nil {
			break
		}
	}
	u.seconds *= perBig / perSmall
	return u, err
}

func (b *bed) fetchHuge(f rig.Fetcher) (usage, error) {
	x, err := b.box(account("fetch", 2), 4, 256<<20)
	if err != nil {
		return usage{}, err
	}
	return b.fetch(f, x, 0)
}

func (b *bed) writeBig(draining bool) (u usage, err error) {
	x, err := b.big()
	if err != nil {
		return u, err
	}
	var beside func() error
	if draining {
		beside = func() error { return b.drain(x, roundTripOfLink) }
	}
	u.seconds, err = b.plainLoop(x, loopWorkers, beside)
	return u, err
}

func (b *bed) fetchCrowd(fetch func(*crowd) (usage, error)) (u usage, err error) {
	fullest, err := b.big()
	if err != nil {
		return u, err
	}
	c, err := b.newCrowd(fullest)
	if err != nil {
		return u, err
	}
	u, err = fetch(c)
	return u, errors.Join(err, c.close())
}

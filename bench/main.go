//go:build linux

// Command bench measures Postwain beside Debian's Dovecot, and postwain fetch
// beside Debian's fetchmail, mpop and getmail6, on the same mail and in turns,
// and prints their ratios.
//
// It runs on Linux, as root, with the packages that test/interop/install
// installs. What the servers send is compared octet for octet while they are
// measured. Processor time is the servers' alone; the load generator's is not
// counted.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"

	"github.com/postwain/postwain/test/rig"
)

// diskSize is what the disk may grow to, in octets.
const diskSize = 12 << 30

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	rounds := flag.Int("rounds", 5, "how often each server takes its turn")
	only := flag.String("only", "", "measure only the rows whose name matches this `pattern`")
	stock := flag.Bool("stock", false, "measure also Dovecot as it is installed, with a process for every session")
	write := flag.Bool("write", false, "write docs/BENCHMARKS.md")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	disk, err := rig.NewDisk(diskSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	space, err := rig.NewSpace(disk.Mount)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, space.Close()) }()

	report := report{rounds: *rounds, machine: rig.DescribeMachine(space.Dir)}
	fmt.Println(report.machine)
	bed, err := newBed(space, *stock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.stop()) }()
	for _, c := range bed.contestant {
		report.names = append(report.names, c.name)
	}
	for _, row := range rows {
		if !pattern.MatchString(row.name) {
			continue
		}
		if err := report.measure(bed, row); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	if err := report.fetch.measure(bed, pattern); err != nil {
		return err
	}
	if report.limits, err = measureLimits(space.Dir); err != nil {
		return err
	}
	fmt.Print(report.text())
	if *write {
		return os.WriteFile("docs/BENCHMARKS.md", []byte(report.markdown()), 0o644)
	}
	return nil
}

//go:build linux

// Command bench measures Postwain and Debian's Dovecot side by side, on the
// same mail and in turns, and prints their ratios.
//
// It runs on Linux, as root, with the packages dovecot-pop3d and dovecot-lmtpd
// installed. What the servers send is compared octet for octet while they are
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
	disk, err := newDisk()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.close()) }()
	space, err := rig.NewSpace(disk.mount)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, space.Close()) }()

	report := report{rounds: *rounds, machine: describeMachine(space.Dir)}
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
	if report.limits, err = measureLimits(space.Dir); err != nil {
		return err
	}
	fmt.Print(report.text())
	if *write {
		return os.WriteFile("docs/BENCHMARKS.md", []byte(report.markdown()), 0o644)
	}
	return nil
}

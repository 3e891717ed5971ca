//go:build linux

package main

// row is one thing that is measured on both servers.
type row struct {
	name string
	unit string
	more bool // more is better; else less is
	// ratio is how many times better than Dovecot Postwain is meant to be;
	// most is how much Postwain may need in any case. Zero: no such target.
	ratio, most float64
	rounds      int              // at least so many, where the disk decides more than the server
	prepare     func(*bed) error // once, before the first turn; may be nil
	measure     func(*bed, *contestant) (float64, error)
}

var rows = []row{
	{
		name: "login, STAT, QUIT, in clear", unit: "µs CPU", ratio: 4,
		measure: func(b *bed, c *contestant) (float64, error) { return b.polls(c, false, 2000) },
	},
	{
		name: "login, STAT, QUIT, TLS", unit: "µs CPU", ratio: 2.5,
		measure: func(b *bed, c *contestant) (float64, error) { return b.polls(c, true, 1000) },
	},
	{
		name: "RETR of a message of 4–64 KB, in clear", unit: "µs CPU", ratio: 2, prepare: (*bed).fillReaders,
		measure: func(b *bed, c *contestant) (float64, error) { return b.retrieve(c, false) },
	},
	{
		name: "RETR of a message of 4–64 KB, TLS", unit: "µs CPU", ratio: 2, prepare: (*bed).fillReaders,
		measure: func(b *bed, c *contestant) (float64, error) { return b.retrieve(c, true) },
	},
	{
		name: "login and STAT of 100,000 messages, no index", unit: "ms", most: 500, prepare: (*bed).fillHoarder,
		measure: (*bed).coldStat,
	},
	{
		name: "login and STAT of 100,000 messages, again", unit: "ms", most: 60, prepare: (*bed).fillHoarder,
		measure: (*bed).warmStat,
	},
	{
		name: "idle session in clear", unit: "KiB", most: 12,
		measure: func(b *bed, c *contestant) (float64, error) { return b.idle(c, false) },
	},
	{
		name: "idle session, TLS", unit: "KiB", most: 40,
		measure: func(b *bed, c *contestant) (float64, error) { return b.idle(c, true) },
	},
	{
		name: "durable LMTP deliveries, 16 at a time", unit: "/s", more: true, ratio: 3,
		rounds:  11,
		measure: (*bed).deliver,
	},
}

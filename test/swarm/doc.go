// Package swarm stands between honest users and a server that runs: with
// thousands of idle and slow connections, with a flood of handshakes, and with
// testers of TLS that others wrote.
package swarm

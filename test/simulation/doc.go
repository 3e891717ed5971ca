// Package simulation lets a server live many lives within seconds, in
// testing/synctest bubbles: time is false, the network and the disk are in
// memory, and links, disk, power and clock fail as a seed says. What the clients
// were promised is judged between the lives, and what the server holds
// (goroutines, connections, maildrops, files, memory) must end at nothing.
//
// Bubbles are part of package testing, so the simulation itself is in the tests
// and a campaign runs those.
package simulation

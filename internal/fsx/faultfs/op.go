package faultfs

import (
	"fmt"
	"strings"
)

// Kind is what an operation does.
type Kind string

// The operations. Those of the first group change something that a crash can
// lose or that makes other changes safe; those of the second do not.
const (
	Mkdir    Kind = "mkdir"
	Create   Kind = "create" // a file was wanted that may have to be made
	Link     Kind = "link"
	Move     Kind = "move"
	Replace  Kind = "replace"
	Remove   Kind = "remove"
	Write    Kind = "write"
	Truncate Kind = "truncate"
	Allocate Kind = "allocate"
	Touch    Kind = "touch"
	Sync     Kind = "sync"     // of a file
	SyncData Kind = "syncdata" // of a file
	SyncDir  Kind = "syncdir"
	SyncDisk Kind = "syncdisk" // of everything

	OpenDir Kind = "opendir"
	Open    Kind = "open"
	Stat    Kind = "stat"
	ReadDir Kind = "readdir" // one name
	Read    Kind = "read"
	Lock    Kind = "lock"
	Close   Kind = "close"
)

// Changes tells whether a crash before an operation of this kind can leave
// something else than a crash after it.
func (k Kind) Changes() bool {
	switch k {
	case OpenDir, Open, Stat, ReadDir, Read, Lock, Close:
		return false
	}
	return true
}

// Op is one operation.
type Op struct {
	N    int // its number, from 1
	Kind Kind
	Path string // from the root, without a leading slash; "." is the root
	To   string // the second path of Link, Move and Replace
	Off  int64  // of a Read, a Write, negative where the file stands; the size of Truncate, Allocate
	Len  int    // of a Read, a Write
	Err  error  // how it ended; nil in hooks
}

func (o Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%4d %s %s", o.N, o.Kind, o.Path)
	switch o.Kind {
	case Link, Move, Replace:
		fmt.Fprintf(&b, " -> %s", o.To)
	case Read, Write:
		if o.Off >= 0 {
			fmt.Fprintf(&b, " @%d", o.Off)
		}
		fmt.Fprintf(&b, " +%d", o.Len)
	case Truncate, Allocate:
		fmt.Fprintf(&b, " %d", o.Off)
	}
	if o.Err != nil {
		fmt.Fprintf(&b, ": %v", o.Err)
	}
	return b.String()
}

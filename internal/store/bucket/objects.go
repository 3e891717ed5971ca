package bucket

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// objects is what the protocol asks of an object store, and all that it trusts:
// that of many who create an object one wins, and that a listing which begins
// after an answer has what was answered.
type objects interface {
	// Create makes the object key of the size octets that body gives, unless there
	// is one. After an error nobody knows whether it was made.
	Create(ctx context.Context, key string, body io.ReaderAt, size int64) (created bool, err error)
	// Touch makes the object key, empty, or makes it anew.
	Touch(ctx context.Context, key string) error
	// Get gives the octets of the object key. Its end is io.EOF only if they are
	// those that were created. Errors wrap errNoObject where it applies.
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	// List gives all objects whose keys begin with prefix, by key. An error is the
	// last that it gives.
	List(ctx context.Context, prefix string) iter.Seq2[object, error]
	// Delete removes objects. That one is not there is no error.
	Delete(ctx context.Context, keys []string) error
}

// errNoObject says that there is no object of the key.
var errNoObject = errors.New("no such object")

// object is a row of a listing.
type object struct {
	Key  string
	Size int64
	// Age is how long ago it was created or touched, by the clock of the store.
	Age time.Duration
}

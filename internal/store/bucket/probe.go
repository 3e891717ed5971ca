package bucket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors of a store that mail cannot be kept in.
var (
	errOverwrites = errors.New(`the store ignores "If-None-Match: *" and replaces objects: two servers could have one maildrop`)
	errOldList    = errors.New("a listing does not have what was just created or deleted: mail could be missing from it")
)

// Probe tries on an object of its own what the protocol is built on, and fails
// where the store does not keep to it.
func (s *Store) Probe(ctx context.Context) error {
	key := s.prefix + "r/probe/" + newULID(time.Now()).String()
	if err := s.probe(ctx, key); err != nil {
		_ = s.objects.Delete(ctx, []string{key}) // what went wrong was told
		return fmt.Errorf("bucket: %w", err)
	}
	return nil
}

func (s *Store) probe(ctx context.Context, key string) error {
	created := make([]bool, 2)
	for i := range created {
		var err error
		if created[i], err = s.objects.Create(ctx, key, strings.NewReader("probe"), 5); err != nil {
			return err
		}
	}
	if !created[0] || created[1] {
		return errOverwrites
	}
	for _, there := range []bool{true, false} {
		found := false
		for o, err := range s.objects.List(ctx, key) {
			if err != nil {
				return err
			}
			found = found || o.Key == key
		}
		if found != there {
			return errOldList
		}
		if err := s.objects.Delete(ctx, []string{key}); err != nil {
			return err
		}
	}
	return nil
}

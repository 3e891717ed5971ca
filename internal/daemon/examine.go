package daemon

import (
	"context"
	"fmt"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/store/bucket"
)

// BucketCheck is what came of trying something on the object store.
type BucketCheck = bucket.Check

// ExamineBucket tries whether mail can be kept in the bucket that the
// configuration names. What is wrong with the bucket is in the checks.
func ExamineBucket(ctx context.Context, c *config.Config) ([]BucketCheck, error) {
	if c.Mail.Store != config.InBucket {
		return nil, fmt.Errorf("mail.store is %q, so there is no bucket to examine: write store = %q, and the section [bucket]", c.Mail.Store, config.InBucket)
	}
	o, err := bucketOptions(ctx, &c.Bucket)
	if err != nil {
		return nil, err
	}
	s, err := bucket.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return s.Examine(ctx), s.Close()
}

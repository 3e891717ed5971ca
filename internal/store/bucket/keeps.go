package bucket

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Versioned reports whether the bucket keeps what was deleted or replaced.
func (b *s3Objects) Versioned(ctx context.Context) (bool, error) {
	out, err := b.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &b.bucket})
	return err == nil && out.Status == types.BucketVersioningStatusEnabled, err
}

// Locked reports whether the bucket may refuse to delete.
func (b *s3Objects) Locked(ctx context.Context) (bool, error) {
	out, err := b.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &b.bucket})
	if code(err) == "ObjectLockConfigurationNotFoundError" {
		return false, nil
	}
	return err == nil && out.ObjectLockConfiguration != nil &&
		out.ObjectLockConfiguration.ObjectLockEnabled == types.ObjectLockEnabledEnabled, err
}

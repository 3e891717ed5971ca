package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// Options say where the bucket is.
type Options struct {
	// Endpoint is the URL of the store. Empty: Amazon's, by the region.
	Endpoint string
	// Region. Empty: that of the environment, or us-east-1.
	Region string
	// Name is the bucket's.
	Name string
	// Prefix is before every key: empty, or ending in a slash.
	Prefix string
	// PathStyle asks for http://endpoint/name/key in place of
	// http://name.endpoint/key.
	PathStyle bool
	// AccessKey and SecretKey sign requests. Empty: those of the environment, or
	// of the machine's role.
	AccessKey, SecretKey string
	// Spool is the directory for mail on its way in that is not small. Empty: the
	// system's.
	Spool string
	// LeaseTime is how long a maildrop stays locked when its server has died.
	// Zero: a minute.
	LeaseTime time.Duration
}

// Open gives a Store in the bucket. It asks nothing of it yet.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Name == "" {
		return nil, errors.New("bucket: it has no name")
	}
	loads := []func(*config.LoadOptions) error{config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts = attempts })
	}), config.WithLogger(logging.Nop{})} // what goes wrong is in the errors
	if o.AccessKey != "" {
		loads = append(loads, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, "")))
	}
	if o.Region != "" {
		loads = append(loads, config.WithRegion(o.Region))
	}
	c, err := config.LoadDefaultConfig(ctx, loads...)
	if err != nil {
		return nil, fmt.Errorf("bucket: %w", err)
	}
	if c.Region == "" {
		c.Region = "us-east-1" // which stores that have none call themselves
	}
	client := s3.NewFromConfig(c, func(p *s3.Options) {
		p.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = stallTimeout })
		p.UsePathStyle = o.PathStyle
		if o.Endpoint != "" {
			p.BaseEndpoint = aws.String(o.Endpoint)
		}
	})
	ttl := o.LeaseTime
	if ttl == 0 {
		ttl = defaultTTL
	}
	return &Store{objects: &s3Objects{client, o.Name, stallTimeout}, prefix: o.Prefix, spool: o.Spool, ttl: ttl}, nil
}

// stallTimeout is how long the store may be silent in the middle of a message, or
// before an answer.
const stallTimeout = 30 * time.Second

// attempts at a request that fails by no fault of ours, with growing pauses.
const attempts = 5

// s3Objects is a bucket, by the API of Amazon's S3.
type s3Objects struct {
	client *s3.Client
	bucket string
	stall  time.Duration
}

// uploadID is the metadata by which who creates an object knows it again.
const uploadID = "postwain-upload"

// Create is a PUT that never replaces. One whose answer was lost is refused when
// it is tried again: then the object tells whose it is.
func (b *s3Objects) Create(ctx context.Context, key string, body io.ReaderAt, size int64) (bool, error) {
	mine := newULID(time.Now()).String()
	for attempt := range attempts {
		if err := pause(ctx, attempt); err != nil {
			return false, err
		}
		_, err := b.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &b.bucket, Key: &key, Body: io.NewSectionReader(body, 0, size), ContentLength: &size,
			IfNoneMatch: aws.String("*"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256, Metadata: map[string]string{uploadID: mine},
		})
		switch code(err) {
		case "":
			return err == nil, explain(err)
		case "PreconditionFailed":
			head, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.bucket, Key: &key})
			if code(err) == "NotFound" {
				continue // it was removed meanwhile
			}
			if err != nil {
				return false, explain(err)
			}
			return head.Metadata[uploadID] == mine, nil
		case "ConditionalRequestConflict": // another one is at it
			continue
		default:
			return false, explain(err)
		}
	}
	return false, fmt.Errorf("the object %s is created and removed all the time", key)
}

// pause waits before another attempt, longer each time, and not as long as others
// do.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return ctx.Err()
	}
	wait := time.NewTimer(rand.N(50 * time.Millisecond << attempt))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Touch is a PUT of nothing.
func (b *s3Objects) Touch(ctx context.Context, key string) error {
	_, err := b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.bucket, Key: &key})
	return explain(err)
}

// Get is a GET whose checksum is compared, where the store has kept one.
func (b *s3Objects) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	silence := time.AfterFunc(b.stall*attempts, cancel)
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		silence.Stop()
		cancel()
	}
	if c := code(err); c == "NoSuchKey" || c == "NotFound" {
		return nil, fmt.Errorf("%w: %s", errNoObject, key)
	}
	if err != nil {
		return nil, explain(err)
	}
	return &watched{out.Body, cancel, silence, b.stall}, nil
}

// watched is a body that ends with an error when it has been silent for too long.
type watched struct {
	io.ReadCloser
	cancel  context.CancelFunc
	silence *time.Timer // cancels
	stall   time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	w.silence.Reset(w.stall)
	n, err := w.ReadCloser.Read(p)
	if !w.silence.Stop() && err != nil && err != io.EOF {
		err = fmt.Errorf("the store has been silent for %v: %w", w.stall, err)
	}
	return n, err
}

func (w *watched) Close() error {
	w.silence.Stop()
	defer w.cancel()
	return w.ReadCloser.Close()
}

// List asks for one page after the other.
func (b *s3Objects) List(ctx context.Context, prefix string) iter.Seq2[object, error] {
	return func(yield func(object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(object{}, explain(err))
				return
			}
			now, ok := middleware.GetServerTime(page.ResultMetadata)
			if !ok {
				yield(object{}, errors.New("the store does not say what time it is: its answer has no Date"))
				return
			}
			for _, o := range page.Contents {
				if !yield(object{aws.ToString(o.Key), aws.ToInt64(o.Size), now.Sub(aws.ToTime(o.LastModified))}, nil) {
					return
				}
			}
		}
	}
}

// deletions of one request.
const deletions = 1000

// Delete asks for many deletions at a time.
func (b *s3Objects) Delete(ctx context.Context, keys []string) error {
	for some := range slices.Chunk(keys, deletions) {
		ids := make([]types.ObjectIdentifier, len(some))
		for i := range some {
			ids[i].Key = &some[i]
		}
		out, err := b.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &b.bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}})
		if err != nil {
			return explain(err)
		}
		for _, e := range out.Errors {
			return fmt.Errorf("deleting %s: %s %s", aws.ToString(e.Key), aws.ToString(e.Code), aws.ToString(e.Message))
		}
	}
	return nil
}

// code is that of an error which the store has answered, or of what went wrong
// on the way to it; empty without an error.
func code(err error) string {
	if err == nil {
		return ""
	}
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return "none"
}

// advice is what to do about an answer, by its code.
func advice(code string) string {
	switch code {
	case "NoSuchBucket":
		return "there is no bucket of that name; make it, or correct the name"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "XAdminUserNotFound": // the last is versitygw's
		return "the store does not know the access key, or the secret key is not its own"
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "the credentials have expired; get new ones"
	case "AccessDenied", "AllAccessDisabled", "Forbidden":
		return "the access key may not do this; it needs to list the bucket, and to get, put and delete its objects"
	case "RequestTimeTooSkewed":
		return "the clock of this machine is wrong; set it"
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "MovedPermanently":
		return "the bucket is in another region; name that one"
	case "NotImplemented", "InvalidRequest", "XAmzContentSHA256Mismatch":
		return "the store cannot do what mail needs"
	}
	return ""
}

// explain adds what to do. Errors of the library name the host and the request,
// and no secret.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if text := advice(code(err)); text != "" {
		return fmt.Errorf("%s: %w", text, err)
	}
	var lost *url.Error
	var response interface{ HTTPStatusCode() int }
	switch {
	case errors.As(err, &response) && response.HTTPStatusCode() == http.StatusForbidden:
		return fmt.Errorf("%s: %w", advice("AccessDenied"), err)
	case errors.As(err, &lost):
		return fmt.Errorf("the store cannot be reached: %w", err)
	}
	return err
}

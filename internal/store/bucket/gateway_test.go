//go:build bucket

package bucket

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/maildrop/maildroptest"
)

// gateway opens a store in the bucket that the environment names, with a prefix
// that nobody has used.
func gateway(t testing.TB) *Store {
	t.Helper()
	s := gatewayAt(t, os.Getenv("POSTWAIN_BUCKET_ENDPOINT"), fmt.Sprintf("test-%d-%d/", time.Now().UnixNano(), rand.Uint32()))
	b := s.objects.(*s3Objects)
	if _, err := b.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &b.bucket}); err != nil && code(err) != "BucketAlreadyOwnedByYou" {
		t.Fatal(explain(err))
	}
	return s
}

// gatewayAt opens the store that is reached by the URL.
func gatewayAt(t testing.TB, url, prefix string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{
		Endpoint: url, Name: os.Getenv("POSTWAIN_BUCKET_NAME"), PathStyle: true, Prefix: prefix,
		AccessKey: os.Getenv("POSTWAIN_BUCKET_ACCESS_KEY"), SecretKey: os.Getenv("POSTWAIN_BUCKET_SECRET_KEY"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A real store passes what the one in memory does.
func TestGateway(t *testing.T) {
	for name, open := range map[string]func(*Store) maildrop.Store{
		"leases":    func(s *Store) maildrop.Store { return s },
		"snapshots": func(s *Store) maildrop.Store { return s.Snapshots() },
	} {
		t.Run(name, func(t *testing.T) {
			maildroptest.Test(t, func(t testing.TB) maildroptest.Mail {
				s := gateway(t)
				return maildroptest.Mail{Store: open(s), Deliverer: s, Snapshot: name == "snapshots"}
			})
		})
	}
}

// A real store keeps to what mail depends on, and says whether it keeps versions.
func TestGatewayExamined(t *testing.T) {
	for _, c := range gateway(t).Examine(t.Context()) {
		if t.Log(c.Name, c.Detail, c.Advice, c.Took); c.Err != nil {
			t.Errorf("%s: %v", c.Name, c.Err)
		}
	}
}

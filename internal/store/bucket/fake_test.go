package bucket

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 answers as a store does whose bucket is called mail, with pages of a few
// keys. Faults are asked for by method and a part of the key.
type fakeS3 struct {
	t       testing.TB
	mu      sync.Mutex
	objects map[string]fakeObject
	page    int
	now     func() time.Time
	made    func() time.Time // of objects; nil: now
	fault   func(r *http.Request) fault

	versioned, locked bool
}

type fakeObject struct {
	data   []byte
	sum    string // SHA-256 in base64; empty: none is kept
	upload string
	at     time.Time
}

// fault is what goes wrong with a request.
type fault int

const (
	none      fault = iota
	slowDown        // 503
	broken          // 500
	dropped         // it is done, and the connection breaks before the answer
	cut             // half of the body is missing
	altered         // an octet of the body is another
	conflict        // 409
	forbidden       // 403
	undated         // the answer has no Date
	silenced        // half of the body comes, and then nothing
)

func newFakeS3(t testing.TB) (*fakeS3, *Store) {
	f := &fakeS3{t: t, objects: map[string]fakeObject{}, page: 7, now: time.Now, fault: func(*http.Request) fault { return none }}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	s, err := Open(t.Context(), Options{Endpoint: server.URL, Name: "mail", PathStyle: true, AccessKey: "key", SecretKey: "secret", Region: "here"})
	if err != nil {
		t.Fatal(err)
	}
	return f, s
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	what := f.fault(r)
	switch what {
	case slowDown:
		f.refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return
	case broken:
		f.refuse(w, http.StatusInternalServerError, "InternalError")
		return
	case conflict:
		f.refuse(w, http.StatusConflict, "ConditionalRequestConflict")
		return
	case forbidden:
		f.refuse(w, http.StatusForbidden, "AccessDenied")
		return
	}
	w.Header()["Date"] = []string{f.now().UTC().Format(http.TimeFormat)}
	if what == undated {
		w.Header()["Date"] = nil
	}
	answer := httptest.NewRecorder()
	f.answer(answer, r, body)
	if what == dropped {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), answer.Header())
	text := answer.Body.Bytes()
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	if what == altered && len(text) > 0 {
		text[len(text)/2] ^= 1
	}
	w.WriteHeader(answer.Code)
	if what == cut {
		text = text[:len(text)/2]
	}
	if what == silenced {
		_, _ = w.Write(text[:len(text)/2])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	_, _ = w.Write(text)
}

func (f *fakeS3) refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
}

func (f *fakeS3) answer(w http.ResponseWriter, r *http.Request, body []byte) {
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if name != "mail" {
		f.refuse(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	o, there := f.objects[key]
	switch {
	case r.Method == http.MethodPost && r.URL.Query().Has("delete"):
		f.delete(w, body)
	case key == "" && r.URL.Query().Has("versioning"):
		if f.versioned {
			fmt.Fprint(w, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
			return
		}
		fmt.Fprint(w, "<VersioningConfiguration></VersioningConfiguration>")
	case key == "" && r.URL.Query().Has("object-lock") && f.locked:
		fmt.Fprint(w, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>")
	case key == "" && r.URL.Query().Has("object-lock"):
		f.refuse(w, http.StatusNotFound, "ObjectLockConfigurationNotFoundError")
	case r.Method == http.MethodGet && key == "":
		f.list(w, r)
	case r.Method == http.MethodPut && r.Header.Get("If-None-Match") == "*" && there:
		f.refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
	case r.Method == http.MethodPut:
		f.put(r, key, body)
	case !there && r.Method == http.MethodHead:
		w.WriteHeader(http.StatusNotFound)
	case !there:
		f.refuse(w, http.StatusNotFound, "NoSuchKey")
	default:
		if o.sum != "" && r.Header.Get("X-Amz-Checksum-Mode") != "" {
			w.Header().Set("X-Amz-Checksum-Sha256", o.sum)
		}
		w.Header().Set("X-Amz-Meta-Postwain-Upload", o.upload)
		_, _ = w.Write(o.data)
	}
}

func (f *fakeS3) put(r *http.Request, key string, body []byte) {
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		body = unchunk(f.t, body)
	}
	sum := sha256.Sum256(body)
	o := fakeObject{data: body, upload: r.Header.Get("X-Amz-Meta-Postwain-Upload"), at: f.now()}
	if f.made != nil {
		o.at = f.made()
	}
	if o.upload != "" {
		o.sum = base64.StdEncoding.EncodeToString(sum[:])
	}
	f.objects[key] = o
}

// unchunk takes aws-chunked apart: sizes in hex, and trailers.
func unchunk(t testing.TB, body []byte) (all []byte) {
	for {
		line, rest, ok := bytes.Cut(body, []byte("\r\n"))
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseInt(string(size), 16, 64)
		if !ok || err != nil || int64(len(rest)) < n {
			t.Errorf("a chunk begins with %.40q", body)
			return all
		}
		if n == 0 {
			return all
		}
		all = append(all, rest[:n]...)
		body = bytes.TrimPrefix(rest[n:], []byte("\r\n"))
	}
}

func (f *fakeS3) list(w http.ResponseWriter, r *http.Request) {
	type row struct {
		Key          string
		LastModified string
		Size         int
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Contents              []row
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
	}
	q := r.URL.Query()
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key <= q.Get("continuation-token") {
			continue
		}
		if len(page.Contents) == f.page {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[f.page-1].Key
			break
		}
		o := f.objects[key]
		page.Contents = append(page.Contents, row{key, o.at.UTC().Format(time.RFC3339), len(o.data)})
	}
	if err := xml.NewEncoder(w).Encode(page); err != nil {
		f.t.Error(err)
	}
}

func (f *fakeS3) delete(w http.ResponseWriter, body []byte) {
	var asked struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(body, &asked); err != nil {
		f.t.Error(err)
	}
	for _, o := range asked.Object {
		delete(f.objects, o.Key)
	}
	fmt.Fprint(w, "<DeleteResult></DeleteResult>")
}

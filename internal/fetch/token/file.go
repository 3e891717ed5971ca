package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"time"

	"golang.org/x/oauth2"

	"github.com/postwain/postwain/internal/fsx"
)

// File is where a grant is kept: the file Name in Dir, which nobody but its
// owner may be able to read. A lock beside it, with ".lock" behind the name,
// keeps processes from using one refresh token twice, which some providers take
// for theft.
type File struct {
	Dir  fsx.Dir
	Name string
}

// grant is the contents of a File. The client and the address for which it was
// made stand in it, so that a refresh token is never sent to another place.
type grant struct {
	Version      int       `json:"version"`
	TokenURL     string    `json:"token_url"`
	ClientID     string    `json:"client_id"`
	RefreshToken string    `json:"refresh_token"`
	AccessToken  string    `json:"access_token,omitempty"`
	Expiry       time.Time `json:"expiry,omitzero"`
}

const (
	version  = 1
	maxGrant = 64 << 10
	// lockPause is the time between two tries to get the lock.
	lockPause = 100 * time.Millisecond
)

// load reads the grant. It refuses a file that others can read, since the
// grant would have to be taken for stolen.
func (f File) load() (grant, error) {
	file, err := f.Dir.Open(f.Name)
	if err != nil {
		return grant{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return grant{}, err
	}
	if mode := info.Mode & fs.ModePerm; mode&0o077 != 0 && runtime.GOOS != "windows" {
		return grant{}, fmt.Errorf("others can read %s: it has mode %04o; run: chmod 600 %[1]s", f.Name, mode)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxGrant+1))
	if err != nil {
		return grant{}, err
	}
	var g grant
	// The error of the decoder may quote the file.
	if len(text) > maxGrant || json.Unmarshal(text, &g) != nil || g.Version != version || checkToken(g.RefreshToken) != nil {
		return grant{}, fmt.Errorf("%s holds no grant of this version", f.Name)
	}
	return g, nil
}

func (f File) save(g grant) error {
	g.Version = version
	text, err := json.MarshalIndent(g, "", "\t")
	if err != nil {
		return err
	}
	return fsx.WriteFile(f.Dir, f.Name, append(text, '\n'), 0o600)
}

// lock waits until no other process has the file.
func (f File) lock(ctx context.Context) (unlock func(), err error) {
	file, err := f.Dir.OpenAppend(f.Name+".lock", 0o600)
	if err != nil {
		return nil, err
	}
	for {
		ok, err := file.TryLock()
		if ok {
			return func() { file.Close() }, nil
		}
		if err == nil {
			select {
			case <-time.After(lockPause):
				continue
			case <-ctx.Done():
				err = fmt.Errorf("another process has locked %s: %w", f.Name, ctx.Err())
			}
		}
		file.Close()
		return nil, err
	}
}

// Stored gives tokens of the grant in f and keeps them there, for other
// processes. A token is renewed a minute before it ends. A new refresh token is
// durable before the token that came with it is given out.
func (c *Client) Stored(f File) Source {
	s := &stored{client: c, file: f}
	return &cache{renew: s.renew}
}

type stored struct {
	client *Client
	file   File
	// unsaved is a grant that could not be saved. The one in the file may be
	// worth nothing any more.
	unsaved *grant
	instead string // the refresh token that it came from
}

func (s *stored) renew(ctx context.Context, refused string) (access, error) {
	c := s.client
	if err := c.check(c.Provider.TokenURL); err != nil {
		return access{}, err
	}
	unlock, err := s.file.lock(ctx)
	if err != nil {
		return access{}, fmt.Errorf("token: %s: %w", c.Account, err)
	}
	defer unlock()
	g, err := s.current()
	if err != nil {
		return access{}, err
	}
	if a := (access{g.AccessToken, g.Expiry}); a.good() && a.token != refused && checkToken(a.token) == nil {
		return a, nil
	}
	return s.refresh(ctx, g)
}

// current gives the grant to go on with. It is in the file when it returns.
func (s *stored) current() (grant, error) {
	c := s.client
	g, err := s.file.load()
	if errors.Is(err, fs.ErrNotExist) {
		return grant{}, c.authorize("there is no grant yet")
	}
	if err != nil {
		return grant{}, fmt.Errorf("token: %s: %w", c.Account, err)
	}
	if g.ClientID != c.ID || g.TokenURL != c.Provider.TokenURL {
		return grant{}, c.authorize("the grant was made for another client, provider or tenant")
	}
	if s.unsaved != nil && s.instead == g.RefreshToken {
		if err := s.file.save(*s.unsaved); err != nil {
			return grant{}, c.failed("saving the grant", err)
		}
		g = *s.unsaved
	}
	s.unsaved, s.instead = nil, ""
	return g, nil
}

func (s *stored) refresh(ctx context.Context, g grant) (access, error) {
	const refreshing = "refreshing the token"
	c := s.client
	conf, err := c.config(ctx)
	if err != nil {
		return access{}, err
	}
	t, err := conf.TokenSource(c.web(ctx), &oauth2.Token{RefreshToken: g.RefreshToken}).Token()
	if err != nil {
		return access{}, c.explain(refreshing, err, g.RefreshToken, conf.ClientSecret)
	}
	next := g
	if t.RefreshToken != "" {
		next.RefreshToken = t.RefreshToken
	}
	a, err := accept(t)
	if err == nil {
		err = checkToken(next.RefreshToken)
	}
	if err != nil {
		return access{}, c.failed(refreshing, err)
	}
	next.AccessToken, next.Expiry = a.token, a.until.Round(0)
	if err := s.file.save(next); err != nil {
		s.unsaved, s.instead = &next, g.RefreshToken
		return access{}, c.failed("saving the grant", err)
	}
	return a, nil
}

// store makes a grant of what an authorization gave.
func (c *Client) store(ctx context.Context, f File, g grant) error {
	unlock, err := f.lock(ctx)
	if err == nil {
		err = f.save(g)
		unlock()
	}
	if err != nil {
		return c.failed("saving the grant", err)
	}
	return nil
}

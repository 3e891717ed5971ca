package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/fetch/secret"
	"github.com/postwain/postwain/internal/fetch/token"
	"github.com/postwain/postwain/internal/fsx"
)

// Prompt is what a person must do to authorize.
type Prompt = token.Prompt

// tokens gives the tokens of a section that has any.
func (f *Fetch) tokens(s *config.Fetch) (token.Source, error) {
	if s.TokenCommand != nil {
		return token.Command(secret.Command(s.TokenCommand, secret.MaxToken)), nil
	}
	client, err := f.oauthClient(s)
	if err != nil {
		return nil, err
	}
	if s.OAuth.Flow == config.Client {
		return client.Own(), nil
	}
	file, err := f.tokenFile(s)
	if err != nil {
		return nil, err
	}
	return client.Stored(file), nil
}

func (f *Fetch) oauthClient(s *config.Fetch) (*token.Client, error) {
	o := &s.OAuth
	c := &token.Client{Account: s.Title(), ID: o.ClientID}
	var err error
	switch o.Profile {
	case config.Google:
		c.Provider = token.Google()
	case config.Microsoft:
		if c.Provider, err = token.Microsoft(o.Tenant); err != nil {
			return nil, err
		}
	}
	for _, u := range []struct {
		to  *string
		own string
	}{{&c.Provider.AuthURL, o.AuthURL}, {&c.Provider.DeviceURL, o.DeviceURL}, {&c.Provider.TokenURL, o.TokenURL}} {
		if u.own != "" {
			*u.to = u.own
		}
	}
	if len(o.Scopes) > 0 {
		c.Provider.Scopes, c.Provider.AppScopes = o.Scopes, o.Scopes
	}
	c.Secret = f.secret(o.ClientSecretFile, nil, "")
	return c, nil
}

// tokenFile is where the grant of a section is kept. Its directory is open
// until Close.
func (f *Fetch) tokenFile(s *config.Fetch) (token.File, error) {
	if path := s.OAuth.TokenFile; path != "" {
		dir, err := fsx.Open(filepath.Dir(path))
		if err != nil {
			return token.File{}, fmt.Errorf("token_file: %w", err)
		}
		f.closers = append(f.closers, dir)
		return token.File{Dir: dir, Name: filepath.Base(path)}, nil
	}
	dir, err := f.stateDir("token")
	return token.File{Dir: dir, Name: fileName(s.Title())}, err
}

// fileName makes a file's name of any text.
func fileName(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '@' || r == '-' || r == '_' || r == '.'
	}
	if strings.TrimLeftFunc(text, plain) == "" && text[0] != '.' && len(text) <= 100 {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "=" + hex.EncodeToString(sum[:16])
}

// Authorize gets the grant of the one mailbox in o from its owner, who is shown
// what to do, and keeps it for the rounds that come.
func Authorize(ctx context.Context, o FetchOptions, show func(Prompt) error) (err error) {
	f := newFetch(o)
	if err := f.openState(); err != nil {
		return err
	}
	defer f.Close()
	s, err := f.resolved(&o.Mailboxes[0])
	if err != nil {
		return err
	}
	client, err := f.oauthClient(s)
	if err != nil {
		return err
	}
	file, err := f.tokenFile(s)
	if err != nil {
		return err
	}
	if s.OAuth.Flow == config.Device {
		return client.AuthorizeDevice(ctx, file, show)
	}
	return client.AuthorizeCode(ctx, file, show)
}

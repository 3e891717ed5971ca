package apppassword

import (
	"cmp"
	"context"

	"github.com/postwain/postwain/sasl"
)

// Others returns an Authenticator that asks inner, and refuses those accounts
// that take app passwords only. Every other source of passwords in the chain is
// to be put behind it. It is for passwords: a certificate, a ticket or a token
// proves such an account as before.
func (f *File) Others(inner sasl.Authenticator) sasl.Authenticator { return others{f, inner} }

// OtherSecrets is Others for mechanisms that prove a password without sending
// it.
func (f *File) OtherSecrets(inner sasl.SecretSource) sasl.SecretSource {
	return otherSecrets{f, inner}
}

// refuses says so after the others have done their work: it takes as long as a
// wrong password.
func (f *File) refuses(account string) bool {
	t := f.fresh()
	name, err := sasl.PrepareUser(account)
	a := t.accounts[name]
	return err != nil || a != nil && len(a.marks) > 0
}

type others struct {
	file  *File
	inner sasl.Authenticator
}

func (o others) Authenticate(ctx context.Context, l sasl.Login) (string, error) {
	account, err := o.inner.Authenticate(ctx, l)
	if err == nil && o.file.refuses(account) {
		return "", errRefused
	}
	return account, err
}

type otherSecrets struct {
	file  *File
	inner sasl.SecretSource
}

func (o otherSecrets) Secret(ctx context.Context, name, scheme string) (string, []byte, error) {
	account, secret, err := o.inner.Secret(ctx, name, scheme)
	refused := o.file.refuses(cmp.Or(account, name)) // for all names: the same work
	if err == nil && refused {
		return "", nil, errRefused
	}
	return account, secret, err
}

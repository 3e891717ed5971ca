package krb

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// login gets the first ticket, for which the client proves itself by the time,
// encrypted with its own key (RFC 4120 §3.1 and §5.2.7.2).
func (c *Credentials) login(ctx context.Context, service Principal) (*Ticket, error) {
	realm := c.client.Realm
	req, err := messages.NewASReqForTGT(realm, c.config.inner, c.client.wire())
	if err != nil {
		return nil, fmt.Errorf("krb: making a request to the KDC: %w", err)
	}
	reply, err := c.send(ctx, realm, &req)
	var rejected *Rejection
	var hint types.PADataSequence
	if errors.As(err, &rejected) && rejected.Code == errorcode.KDC_ERR_PREAUTH_REQUIRED {
		if hint, err = preauthHint(reply); err != nil {
			return nil, err
		}
		if req.PAData, err = c.preauth(hint); err != nil {
			return nil, err
		}
		reply, err = c.send(ctx, realm, &req)
	}
	if err != nil {
		return nil, err
	}
	var rep messages.ASRep
	if err := guarded(func() error { return rep.Unmarshal(reply) }); err != nil {
		return nil, errors.New("krb: reply of the KDC is malformed")
	}
	offers, err := c.offers(append(types.PADataSequence(rep.PAData), hint...))
	if err != nil {
		return nil, err
	}
	key, err := c.secretFor(offers, rep.EncPart.EType)
	if err != nil {
		return nil, err
	}
	return c.open(rep.KDCRepFields, key, usageASReply, service, realm, req.ReqBody.Nonce)
}

// preauthHint reads what a KDC that wants a proof says about the keys.
func preauthHint(reply []byte) (hint types.PADataSequence, err error) {
	e, err := parseError(reply)
	if err == nil {
		err = guarded(func() error { return hint.Unmarshal(e.EData) })
	}
	if err != nil {
		return nil, errors.New("krb: KDC wants a proof but does not say which")
	}
	return hint, nil
}

// offer is a key that the KDC has of the client, and how to make it.
type offer struct {
	kind int32
	salt saltOf
}

// offers reads the KDC's list of keys (RFC 4120 §5.2.7.5), which comes before
// the login or with it. Without a list they are as usual.
func (c *Credentials) offers(pa types.PADataSequence) ([]offer, error) {
	usual := c.client.wire().GetSalt(c.client.Realm)
	var all []offer
	for _, p := range pa {
		if p.PADataType != patype.PA_ETYPE_INFO2 {
			continue
		}
		var list types.ETypeInfo2
		if err := guarded(func() error { return list.Unmarshal(p.PADataValue) }); err != nil {
			return nil, errors.New("krb: KDC's list of keys is malformed")
		}
		for _, e := range list {
			o := offer{e.EType, saltOf{salt: e.Salt}}
			if e.Salt == "" {
				o.salt.salt = usual
			}
			if len(e.S2KParams) == 4 {
				if n := binary.BigEndian.Uint32(e.S2KParams); n == 0 || n > maxIterations {
					return nil, fmt.Errorf("krb: KDC asks for %d iterations, not for 1 to %d", n, maxIterations)
				}
				o.salt.params = hex.EncodeToString(e.S2KParams)
			}
			all = append(all, o)
		}
	}
	if all == nil {
		for _, id := range encryptionIDs() {
			all = append(all, offer{id, saltOf{salt: usual}})
		}
	}
	return all, nil
}

// secretFor gives the client's key for one of the offers, which kind names;
// zero: the first that the client has.
func (c *Credentials) secretFor(offers []offer, kind int32) (Key, error) {
	err := fmt.Errorf("krb: %w: KDC has no key of AES for %s", ErrRefused, c.client)
	for _, o := range offers {
		if kind != 0 && o.kind != kind {
			continue
		}
		if _, ok := findEncryption(o.kind); !ok {
			continue
		}
		key, failed := c.secret(o.kind, o.salt)
		if failed == nil {
			return key, nil
		}
		err = failed
	}
	return Key{}, err
}

func (c *Credentials) preauth(hint types.PADataSequence) (types.PADataSequence, error) {
	offers, err := c.offers(hint)
	if err != nil {
		return nil, err
	}
	key, err := c.secretFor(offers, 0)
	if err != nil {
		return nil, err
	}
	plain, err := types.GetPAEncTSEncAsnMarshalled()
	if err != nil {
		return nil, fmt.Errorf("krb: making a proof: %w", err)
	}
	sealed, err := key.encrypt(usagePreauth, plain, 0)
	if err != nil {
		return nil, fmt.Errorf("krb: making a proof: %w", err)
	}
	value, err := sealed.Marshal()
	if err != nil {
		return nil, fmt.Errorf("krb: making a proof: %w", err)
	}
	return types.PADataSequence{{PADataType: patype.PA_ENC_TIMESTAMP, PADataValue: value}}, nil
}

// exchange gets a ticket for a service by a ticket for the KDC of realm
// (RFC 4120 §3.3).
func (c *Credentials) exchange(ctx context.Context, tgt *Ticket, realm string, service Principal) (*Ticket, error) {
	req, err := messages.NewTGSReq(c.client.wire(), realm, c.config.inner, tgt.wire, tgt.key.wire(), service.wire(), false)
	if err != nil {
		return nil, fmt.Errorf("krb: making a request to the KDC: %w", err)
	}
	reply, err := c.send(ctx, realm, &req)
	if err != nil {
		return nil, fmt.Errorf("%w (asked for %s)", err, service)
	}
	var rep messages.TGSRep
	if err := guarded(func() error { return rep.Unmarshal(reply) }); err != nil {
		return nil, errors.New("krb: reply of the KDC is malformed")
	}
	return c.open(rep.KDCRepFields, tgt.key, usageTGSReply, service, realm, req.ReqBody.Nonce)
}

// send asks the KDC. Its KRB-ERROR comes back beside a Rejection.
func (c *Credentials) send(ctx context.Context, realm string, req interface{ Marshal() ([]byte, error) }) ([]byte, error) {
	b, err := req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("krb: making a request to the KDC: %w", err)
	}
	reply, err := c.config.ask(ctx, realm, b)
	if err != nil {
		return nil, err
	}
	if e, err := parseError(reply); err == nil {
		return reply, &Rejection{Code: e.ErrorCode, By: "KDC of " + realm}
	}
	return reply, nil
}

// open takes the ticket out of a KDC's reply, if it is the one that was asked
// for: the library does not compare the service.
func (c *Credentials) open(rep messages.KDCRepFields, key Key, usage uint32, service Principal, realm string, nonce int) (*Ticket, error) {
	plain, err := key.decrypt(usage, rep.EncPart)
	if err != nil {
		return nil, fmt.Errorf("krb: %w: reply of the KDC cannot be decrypted: %w", ErrRefused, err)
	}
	var part messages.EncKDCRepPart
	if err := guarded(func() error { return part.Unmarshal(plain) }); err != nil {
		return nil, errors.New("krb: reply of the KDC is malformed")
	}
	named, sealed := principal(rep.Ticket.SName, rep.Ticket.Realm), principal(part.SName, part.SRealm)
	want := Principal{Name: service.Name, Realm: realm}
	switch {
	case rep.PVNO != protocolVersion || part.Nonce != nonce || !principal(rep.CName, rep.CRealm).Equal(c.client):
		return nil, errors.New("krb: reply of the KDC is to another request")
	case !named.Equal(want) || !sealed.Equal(want):
		return nil, fmt.Errorf("krb: KDC gives a ticket for %s instead of %s", quote(sealed.String()), want)
	}
	t := &Ticket{client: c.client, service: want, wire: rep.Ticket, start: part.StartTime, end: part.EndTime}
	if t.start.IsZero() {
		t.start = part.AuthTime
	}
	if t.key, err = newKey(part.Key); err != nil {
		return nil, errors.New("krb: KDC gives a key with an encryption type that is not one of AES")
	}
	if time.Until(t.start) > defaultSkew {
		return nil, errors.New("krb: clock of the KDC is ahead by more than 5 minutes: set the clock")
	}
	return t, nil
}

package krb

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/addrtype"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// defaultSkew is by how much clocks may differ (RFC 4120 §8.2).
const defaultSkew = 5 * time.Minute

// Options are the choices of NewAcceptor. Keytab and Service are required.
type Options struct {
	// Keytab is the path of the file with the service's keys. It is read anew
	// when it changes.
	Keytab string
	// Service is the first part of the service's principal, such as "pop".
	Service string
	// Host is the second part. Empty: every one that has a key.
	Host string
	// Realm is that of the service. Empty: the one that the keys are of.
	Realm string
	// Skew is by how much a client's clock may differ. Zero: 5 minutes.
	Skew time.Duration
	// Report is told, once for each change of the keytab, that it cannot be
	// used and the keys before it stay in force. It must not block. Nil:
	// nobody is told.
	Report func(error)
}

// Acceptor is the server's side: it judges what clients send. It may be used
// by many goroutines.
//
// Nothing is accepted twice. What a former process has accepted is not known,
// so a client's time before the Acceptor was made is refused as a bad clock.
// Servers that share a key do not know of each other's clients.
type Acceptor struct {
	o       Options
	keys    *keytab
	replays *replays
	began   time.Time
}

// NewAcceptor reads the keytab. It fails if there is none, or no key in it for
// the service, or if o.Realm is empty and there is more than one.
func NewAcceptor(o Options) (*Acceptor, error) {
	if o.Service == "" {
		return nil, errors.New("krb: no name of the service")
	}
	if o.Skew <= 0 {
		o.Skew = defaultSkew
	}
	keys, err := openKeytab(o.Keytab, o.Report)
	if err != nil {
		return nil, err
	}
	if o.Realm == "" {
		if o.Realm, err = onlyRealm(keys.services(o.Service)); err != nil {
			return nil, fmt.Errorf("krb: keytab %s: %w", o.Keytab, err)
		}
	}
	a := &Acceptor{o: o, keys: keys, replays: newReplays(o.Skew), began: time.Now().Truncate(time.Microsecond)}
	for _, p := range keys.services(o.Service) {
		if a.ours(p) {
			return a, nil
		}
	}
	want := Principal{Name: []string{o.Service, orAny(o.Host)}, Realm: o.Realm}
	return nil, fmt.Errorf("krb: keytab %s has no key of AES for %s", o.Keytab, want)
}

func orAny(host string) string {
	if host == "" {
		return "HOST"
	}
	return host
}

// onlyRealm gives the realm that all are of.
func onlyRealm(all []Principal) (string, error) {
	realm := ""
	for _, p := range all {
		if realm != "" && p.Realm != realm {
			return "", errors.New("keys of several realms: say which one is yours")
		}
		realm = p.Realm
	}
	return realm, nil
}

// Realm is the realm of the service.
func (a *Acceptor) Realm() string { return a.o.Realm }

// ours reports whether p is the service itself.
func (a *Acceptor) ours(p Principal) bool {
	return p.Realm == a.o.Realm && len(p.Name) == 2 && p.Name[0] == a.o.Service &&
		(a.o.Host == "" || p.Name[1] == a.o.Host)
}

// Asked is what the protocol around Accept says.
type Asked struct {
	// Remote is the client's address, for tickets that hold only there. The
	// zero Addr: none is known, and they are refused.
	Remote netip.Addr
	// Subkey wants a key of the server's own in the session, if the client
	// wants a reply that can carry it.
	Subkey bool
}

// Accept judges an AP-REQ (RFC 4120 §3.2.3). reply is the AP-REP, nil if the
// client did not ask the server to prove itself. The error is a [*Refusal], or
// it is an outage.
func (a *Acceptor) Accept(message []byte, asked Asked) (s *Session, reply []byte, err error) {
	if len(message) > MaxMessage {
		return nil, nil, a.refuse(errorcode.KRB_ERR_FIELD_TOOLONG, "request is too long")
	}
	req, err := parseRequest(message)
	if err != nil {
		return nil, nil, a.refuse(errorcode.KRB_AP_ERR_MSG_TYPE, "request is malformed")
	}
	j := &judging{a: a, req: req}
	for _, step := range []func() error{j.version, j.openTicket, j.openAuthenticator, j.ticketTime, j.clientTime,
		func() error { return j.address(asked.Remote) }, j.restrictions, j.replay} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	return j.session(asked.Subkey)
}

func (a *Acceptor) refuse(code int32, reason string) *Refusal {
	return &Refusal{Code: code, Reason: reason}
}

// judging is one request on its way through Accept.
type judging struct {
	a       *Acceptor
	req     messages.APReq
	service Principal
	client  Principal // once the authenticator has proved it
	ticket  messages.EncTicketPart
	auth    types.Authenticator
	key     Key // of the ticket
	subkey  *Key
}

func (j *judging) refuse(code int32, format string, args ...any) error {
	r := &Refusal{Code: code, Reason: fmt.Sprintf(format, args...), service: j.service}
	if j.client.Name != nil {
		r.Client = j.client.String()
	}
	return r
}

// version looks at what is not encrypted.
func (j *judging) version() error {
	t := &j.req.Ticket
	named := principal(t.SName, t.Realm)
	if !wellFormed(named.Name, named.Realm) {
		return j.refuse(errorcode.KRB_AP_ERR_NOT_US, "ticket is for a malformed name")
	}
	j.service = named
	switch {
	case j.req.PVNO != protocolVersion || t.TktVNO != protocolVersion:
		return j.refuse(errorcode.KRB_AP_ERR_BADVERSION, "request is not of Kerberos 5")
	case isSet(j.req.APOptions, optionUserToUser):
		return j.refuse(errorcode.KRB_AP_ERR_NOKEY, "ticket is one from user to user")
	case !j.a.ours(named):
		return j.refuse(errorcode.KRB_AP_ERR_NOT_US, "ticket is for %s, not for %s/%s@%s",
			quote(named.String()), j.a.o.Service, orAny(j.a.o.Host), j.a.o.Realm)
	}
	return nil
}

func (j *judging) openTicket() error {
	sealed := j.req.Ticket.EncPart
	if _, ok := findEncryption(sealed.EType); !ok {
		return j.refuse(errorcode.KDC_ERR_ETYPE_NOSUPP, "ticket has encryption type %d, which is not one of AES", sealed.EType)
	}
	key, known, ok := j.a.keys.key(j.service, uint32(sealed.KVNO), sealed.EType)
	switch {
	case !ok && known:
		return j.refuse(errorcode.KRB_AP_ERR_BADKEYVER,
			"keytab has no key of %s with version %d and encryption type %d: export it again", j.service, uint32(sealed.KVNO), sealed.EType)
	case !ok:
		return j.refuse(errorcode.KRB_AP_ERR_NOKEY, "keytab has no key of %s", j.service)
	}
	plain, err := key.decrypt(usageTicket, sealed)
	if err != nil {
		return j.refuse(errorcode.KRB_AP_ERR_BAD_INTEGRITY,
			"ticket cannot be decrypted with the keytab's key of %s: is it another than the KDC has?", j.service)
	}
	if err := guarded(func() error { return j.ticket.Unmarshal(plain) }); err != nil {
		return j.refuse(errorcode.KRB_AP_ERR_BAD_INTEGRITY, "ticket is malformed")
	}
	if j.key, err = newKey(j.ticket.Key); err != nil {
		return j.refuse(errorcode.KDC_ERR_ETYPE_NOSUPP, "key in the ticket has encryption type %d, which is not one of AES", j.ticket.Key.KeyType)
	}
	return nil
}

// openAuthenticator proves that the client has the key of the ticket. The
// client is who the ticket says, realm and all.
func (j *judging) openAuthenticator() error {
	plain, err := j.key.decrypt(usageAuthenticator, j.req.EncryptedAuthenticator)
	if err == nil {
		err = guarded(func() error { return j.auth.Unmarshal(plain) })
	}
	if err != nil {
		return j.refuse(errorcode.KRB_AP_ERR_BAD_INTEGRITY, "authenticator cannot be decrypted with the key of the ticket")
	}
	client := principal(j.ticket.CName, j.ticket.CRealm)
	switch {
	case j.auth.AVNO != protocolVersion:
		return j.refuse(errorcode.KRB_AP_ERR_BADVERSION, "authenticator is not of Kerberos 5")
	case !client.Equal(principal(j.auth.CName, j.auth.CRealm)):
		return j.refuse(errorcode.KRB_AP_ERR_BADMATCH, "authenticator is of another client than the ticket")
	case !wellFormed(client.Name, client.Realm):
		return j.refuse(errorcode.KRB_AP_ERR_BADMATCH, "name of the client has odd characters")
	}
	j.client = client
	if j.auth.SubKey.KeyType != 0 || len(j.auth.SubKey.KeyValue) > 0 {
		key, err := newKey(j.auth.SubKey)
		if err != nil {
			return j.refuse(errorcode.KDC_ERR_ETYPE_NOSUPP, "client's key has encryption type %d, which is not one of AES", j.auth.SubKey.KeyType)
		}
		j.subkey = &key
	}
	return nil
}

func (j *judging) ticketTime() error {
	now, start := time.Now(), j.ticket.StartTime
	if start.IsZero() {
		start = j.ticket.AuthTime
	}
	switch {
	case isSet(j.ticket.Flags, flagInvalid) || start.Sub(now) > j.a.o.Skew:
		return j.refuse(errorcode.KRB_AP_ERR_TKT_NYV, "ticket is not valid yet")
	case now.Sub(j.ticket.EndTime) > j.a.o.Skew:
		return j.refuse(errorcode.KRB_AP_ERR_TKT_EXPIRED, "ticket has expired")
	}
	return nil
}

func (j *judging) clientTime() error {
	if j.auth.Cusec < 0 || j.auth.Cusec > 999_999 {
		return j.refuse(errorcode.KRB_AP_ERR_SKEW, "client's time is malformed")
	}
	when := j.auth.CTime.Add(time.Duration(j.auth.Cusec) * time.Microsecond)
	off := time.Since(when)
	switch {
	case off.Abs() > j.a.o.Skew:
		return j.refuse(errorcode.KRB_AP_ERR_SKEW, "client's clock and ours differ by %v, which is more than %v",
			off.Abs().Round(time.Second), j.a.o.Skew)
	case when.Before(j.a.began):
		return j.refuse(errorcode.KRB_AP_ERR_SKEW, "client's clock is behind by %v or more, which is not allowed so soon after the start",
			j.a.began.Sub(when).Round(time.Millisecond))
	}
	return nil
}

func (j *judging) address(remote netip.Addr) error {
	if len(j.ticket.CAddr) == 0 {
		return nil
	}
	remote = remote.Unmap()
	for _, h := range j.ticket.CAddr {
		a, ok := netip.AddrFromSlice(h.Address)
		if ok && (h.AddrType == addrtype.IPv4) == a.Is4() && a.Unmap() == remote {
			return nil
		}
	}
	return j.refuse(errorcode.KRB_AP_ERR_BADADDR, "ticket holds only at other addresses than the client's")
}

// restrictions looks at what else a ticket may say. The KDC of our realm marks
// the tickets whose way through other realms it has found good (RFC 4120 §2.7).
func (j *judging) restrictions() error {
	switch {
	case j.client.Realm != j.service.Realm && !isSet(j.ticket.Flags, flagTransitedChecked):
		return j.refuse(errorcode.KDC_ERR_PATH_NOT_ACCEPTED, "ticket comes through realms that the KDC has not checked")
	case !understood(j.ticket.AuthorizationData) || !understood(j.auth.AuthorizationData):
		return j.refuse(errorcode.KDC_ERR_POLICY, "ticket is restricted in a way that is not known here")
	}
	return nil
}

func (j *judging) replay() error {
	fresh, err := j.a.replays.add(j.req.EncryptedAuthenticator.Cipher, j.client.String())
	switch {
	case err != nil:
		return fmt.Errorf("krb: %s: %w", j.client, err)
	case !fresh:
		return j.refuse(errorcode.KRB_AP_ERR_REPEAT, "request was used before")
	}
	return nil
}

// session makes what both sides have now, and the reply.
func (j *judging) session(subkey bool) (*Session, []byte, error) {
	s := &Session{
		Client: j.client, Service: j.service, Key: j.key,
		InitiatorSequence: uint32(j.auth.SeqNumber), // some send it as if it had a sign
		Mutual:            isSet(j.req.APOptions, optionMutual),
		Checksum:          Checksum{j.auth.Cksum.CksumType, j.auth.Cksum.Checksum},
	}
	if j.subkey != nil {
		s.Key = *j.subkey
	}
	s.AcceptorSequence = s.InitiatorSequence // without a reply both count from one number
	if !s.Mutual {
		return s, nil, nil
	}
	s.AcceptorSequence = randomSequence()
	var own *Key
	if subkey {
		key := s.Key.random()
		own, s.Key, s.AcceptorKey = &key, key, true
	}
	reply, err := makeReply(j.key, j.auth.CTime, j.auth.Cusec, own, s.AcceptorSequence)
	if err != nil {
		return nil, nil, fmt.Errorf("krb: making a reply: %w", err)
	}
	return s, reply, nil
}

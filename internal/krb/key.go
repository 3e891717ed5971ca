package krb

import (
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Usages of keys (RFC 4120 §7.5.1).
const (
	usagePreauth       = 1
	usageTicket        = 2
	usageASReply       = 3
	usageTGSReply      = 8
	usageAuthenticator = 11
	usageAPReply       = 12
)

// blockOctets is a block of AES, and with it the confounder in front of what
// is encrypted.
const blockOctets = 16

// encryption is what is to be known of an encryption type.
type encryption struct {
	id       int32
	key, mac int // octets
}

// encryptions are those that may be used, the one that is asked for first in
// front. The library gives a wrong key length for the third.
func encryptions() []encryption {
	return []encryption{
		{id: etypeID.AES256_CTS_HMAC_SHA1_96, key: 32, mac: 12},
		{id: etypeID.AES128_CTS_HMAC_SHA1_96, key: 16, mac: 12},
		{id: etypeID.AES256_CTS_HMAC_SHA384_192, key: 32, mac: 24},
		{id: etypeID.AES128_CTS_HMAC_SHA256_128, key: 16, mac: 16},
	}
}

func encryptionIDs() []int32 {
	var ids []int32
	for _, e := range encryptions() {
		ids = append(ids, e.id)
	}
	return ids
}

func findEncryption(id int32) (e encryption, ok bool) {
	for _, e := range encryptions() {
		if e.id == id {
			return e, true
		}
	}
	return encryption{}, false
}

var (
	errEncryption = errors.New("encryption type is not one of AES")
	errIntegrity  = errors.New("wrong key, or altered on the way")
)

// Key is a secret key with its encryption type.
type Key struct {
	kind  encryption
	value []byte
}

// String hides the key.
func (k Key) String() string { return fmt.Sprintf("key of encryption type %d", k.kind.id) }

// GoString hides the key.
func (k Key) GoString() string { return k.String() }

// newKey takes a key that the library has read.
func newKey(w types.EncryptionKey) (Key, error) {
	e, ok := findEncryption(w.KeyType)
	if !ok || len(w.KeyValue) != e.key {
		return Key{}, errEncryption
	}
	return Key{e, w.KeyValue}, nil
}

// random makes a key of the same type as k. Every octet string of the right
// length is a key of AES (RFC 3962 §6, RFC 8009 §5).
func (k Key) random() Key {
	value := make([]byte, k.kind.key)
	rand.Read(value) // never fails
	return Key{k.kind, value}
}

func (k Key) wire() types.EncryptionKey {
	return types.EncryptionKey{KeyType: k.kind.id, KeyValue: k.value}
}

// encrypt encrypts plain for a usage. kvno is the version of the key, for those
// that have one.
func (k Key) encrypt(usage uint32, plain []byte, kvno int) (types.EncryptedData, error) {
	return crypto.GetEncryptedData(plain, k.wire(), usage, kvno)
}

// decrypt undoes encrypt. The library trusts that there is enough to decrypt.
func (k Key) decrypt(usage uint32, d types.EncryptedData) (plain []byte, err error) {
	switch {
	case d.EType != k.kind.id:
		return nil, errEncryption
	case len(d.Cipher) < blockOctets+k.kind.mac:
		return nil, errIntegrity
	}
	err = guarded(func() error {
		plain, err = crypto.DecryptMessage(d.Cipher, k.wire(), usage)
		return err
	})
	if err != nil {
		return nil, errIntegrity
	}
	return plain, nil
}

// Checksum gives the keyed checksum of data for a usage (RFC 3961 §4).
func (k Key) Checksum(usage uint32, data []byte) ([]byte, error) {
	e, err := crypto.GetEtype(k.kind.id)
	if err != nil {
		return nil, errEncryption
	}
	return e.GetChecksumHash(k.value, data, usage)
}

// Verify reports whether sum is the checksum of data for a usage.
func (k Key) Verify(usage uint32, data, sum []byte) bool {
	right, err := k.Checksum(usage, data)
	return err == nil && hmac.Equal(right, sum)
}

// ChecksumSize is how many octets a checksum of k has.
func (k Key) ChecksumSize() int { return k.kind.mac }

package fetch

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
)

// digest is the SHA-256 of a message as it was received, before lines are put
// in front of it.
type digest [sha256.Size]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

// uid is the name of a message in the journal: a hash, since what servers give
// may be of any length and have any octet in it (faults 97).
type uid [16]byte

// uidOf names a message by the UID that the server gave it.
func uidOf(text string) uid { return hashed('u', []byte(text)) }

// uidOfContent names a message that has no UID, or shares one, by what is in it.
func uidOfContent(d digest) uid { return hashed('c', d[:]) }

// placeOf names a destination.
func placeOf(destination string) uid { return hashed('p', []byte(destination)) }

func hashed(space byte, name []byte) uid {
	h := sha256.New()
	h.Write([]byte{space})
	h.Write(name)
	return uid(h.Sum(nil)[:16])
}

// nonce tells a message from an earlier one that had its UID.
type nonce [8]byte

// keyOf gives the key under which a destination gets message u of a mailbox.
// It is the same after any crash.
func keyOf(mailbox string, u uid, n nonce) string {
	h := sha256.New()
	h.Write([]byte(mailbox))
	h.Write([]byte{0})
	h.Write(u[:])
	if n != (nonce{}) {
		h.Write(n[:])
	}
	return letters.EncodeToString(h.Sum(nil))
}

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// reusable says that a UID is so short that it may be a number in a list or on
// a disk: as soon as its message is gone, the next may get it, which RFC 1939 §7
// permits. So each message with such a UID gets a key of its own, and one that is
// listed again after it was deleted is compared before it is deleted again.
func reusable(text string) bool { return len(text) > 0 && len(text) <= 10 }

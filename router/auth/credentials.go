package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// Credentials are an application's key and secret, prepared for verifying. Make
// them once per application; any goroutine may use them. The secret is never
// printed.
type Credentials struct {
	// Immutable after NewCredentials.
	key    string
	secret string

	// signers holds *signer. The state of an HMAC after its key, two compressions of
	// the hash, is kept in each and restored instead of computed.
	signers sync.Pool
}

// signer is the scratch memory of one verification.
type signer struct {
	mac    hash.Hash
	text   []byte // what is signed
	sum    [sha256.Size]byte
	given  [sha256.Size]byte // the signature that was received
	params params
}

// maxKept bounds the buffers that a pooled signer keeps. Unit: bytes.
const maxKept = 64 << 10

// NewCredentials prepares a key and a secret.
func NewCredentials(key, secret string) *Credentials {
	c := &Credentials{key: key, secret: secret}
	c.signers.New = func() any {
		return &signer{mac: hmac.New(sha256.New, []byte(c.secret))}
	}
	return c
}

// Key is the application's public key.
func (c *Credentials) Key() string { return c.key }

// String names the key and hides the secret.
func (c *Credentials) String() string { return "auth.Credentials(" + c.key + ")" }

// GoString hides the secret from %#v.
func (c *Credentials) GoString() string { return c.String() }

func (c *Credentials) signer() *signer {
	s := c.signers.Get().(*signer) //nolint:forcetypeassert // the pool holds nothing else
	s.text = s.text[:0]
	return s
}

func (c *Credentials) release(s *signer) {
	if cap(s.text)+cap(s.params.text) <= maxKept {
		c.signers.Put(s)
	}
}

// sign computes the signature of s.text into s.sum.
func (s *signer) sign() {
	s.mac.Reset()
	s.mac.Write(s.text)
	s.mac.Sum(s.sum[:0])
}

// expect reads a signature as lower or upper case hexadecimal digits into s.given.
func (s *signer) expect(digits []byte) bool {
	if len(digits) != hex.EncodedLen(len(s.given)) {
		return false
	}
	_, err := hex.Decode(s.given[:], digits)
	return err == nil
}

// matches tells whether s.text has the signature s.given.
func (s *signer) matches() bool {
	s.sign()
	return hmac.Equal(s.sum[:], s.given[:])
}

// VerifySubscription checks the auth of a subscribe, "KEY:HEX", which signs
// socket_id:channel, or socket_id:channel:channel_data when withData.
//
// It returns nil, ErrKey or ErrSignature, and works equally long for the last two.
// The arguments do not escape. No allocation.
func (c *Credentials) VerifySubscription(auth, socketID, channel, channelData []byte, withData bool) error {
	s := c.signer()
	defer c.release(s)
	s.text = append(s.text, socketID...)
	s.text = append(s.text, ':')
	s.text = append(s.text, channel...)
	if withData {
		s.text = append(s.text, ':')
		s.text = append(s.text, channelData...)
	}
	return c.check(s, auth)
}

// VerifySignin checks the auth of a sign-in, "KEY:HEX", which signs
// socket_id::user::user_data. Otherwise as VerifySubscription.
func (c *Credentials) VerifySignin(auth, socketID, userData []byte) error {
	s := c.signer()
	defer c.release(s)
	s.text = append(s.text, socketID...)
	s.text = append(s.text, "::user::"...)
	s.text = append(s.text, userData...)
	return c.check(s, auth)
}

// check compares auth with the signature of s.text.
func (c *Credentials) check(s *signer, auth []byte) error {
	i := bytes.LastIndexByte(auth, ':')
	readable := s.expect(auth[i+1:])
	same := s.matches()
	if i >= 0 && string(auth[:i]) != c.key {
		return ErrKey
	}
	if i < 0 || !readable || !same {
		return ErrSignature
	}
	return nil
}

// SignSubscription makes the auth of a subscribe: what an application's auth
// endpoint answers.
func (c *Credentials) SignSubscription(socketID, channel, channelData string, withData bool) string {
	text := socketID + ":" + channel
	if withData {
		text += ":" + channelData
	}
	return c.key + ":" + c.signText(text)
}

// SignSignin makes the auth of a sign-in.
func (c *Credentials) SignSignin(socketID, userData string) string {
	return c.key + ":" + c.signText(socketID+"::user::"+userData)
}

// signText returns the signature of a text as lower case hexadecimal digits.
func (c *Credentials) signText(text string) string {
	s := c.signer()
	defer c.release(s)
	s.text = append(s.text, text...)
	s.sign()
	return hex.EncodeToString(s.sum[:])
}

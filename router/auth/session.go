package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SessionLifetime is how long a session id is valid.
const SessionLifetime = time.Hour

// SessionIDs makes and checks the socket ids of clients that have no WebSocket, for
// which their application signs. An id is one block
//
//	| expiry uint32 | random 48 bits | 0 uint32 | kind uint16 |   big endian
//
// encrypted with AES-128 and printed like an id of SocketIDs. expiry is in seconds
// since 1970, the first one at which the id is no longer valid. The random bits keep
// the ids of one second apart: what was signed for one client fits no other. Nobody
// can make one up, every node with the key can check it, and nothing is remembered.
//
// The last word is never 0 and that of SocketIDs always is, so even under the same
// key neither takes an id of the other for its own.
//
// Immutable; any goroutine may use it.
type SessionIDs struct {
	block cipher.Block
}

// sessionKind is the only kind of id under the key.
const sessionKind = 1

// NewSessionIDs takes a key as SessionKey derives it.
func NewSessionIDs(key [16]byte) *SessionIDs {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 16 bytes are a key of AES-128
	}
	return &SessionIDs{block: block}
}

// Issue makes an id that is valid for SessionLifetime. random must be unpredictable.
func (ids *SessionIDs) Issue(now time.Time, random [6]byte) string {
	// Rounded up: what the client is told is never too long.
	expiry := now.Add(SessionLifetime + time.Second - 1).Unix()
	var b [aes.BlockSize]byte
	binary.BigEndian.PutUint32(b[0:], uint32(expiry)) //nolint:gosec // fits until 2106
	copy(b[4:10], random[:])
	binary.BigEndian.PutUint16(b[14:], sessionKind)
	ids.block.Encrypt(b[:], b[:])
	text := make([]byte, 0, 41)
	text = strconv.AppendUint(text, binary.BigEndian.Uint64(b[0:]), 10)
	text = append(text, '.')
	text = strconv.AppendUint(text, binary.BigEndian.Uint64(b[8:]), 10)
	return string(text)
}

// Check tells whether an id was issued under this key and still holds: nil,
// ErrSessionExpired, or ErrSessionForged for everything else.
func (ids *SessionIDs) Check(id string, now time.Time) error {
	first, second, found := strings.Cut(id, ".")
	high, okHigh := parseDecimal(first)
	low, okLow := parseDecimal(second)
	if !found || !okHigh || !okLow {
		return ErrSessionForged
	}
	var b [aes.BlockSize]byte
	binary.BigEndian.PutUint64(b[0:], high)
	binary.BigEndian.PutUint64(b[8:], low)
	ids.block.Decrypt(b[:], b[:])
	if binary.BigEndian.Uint32(b[10:]) != 0 || binary.BigEndian.Uint16(b[14:]) != sessionKind {
		return ErrSessionForged
	}
	if now.Unix() >= int64(binary.BigEndian.Uint32(b[0:])) {
		return ErrSessionExpired
	}
	return nil
}

// AppSecret is what all nodes know of an application, and nobody else.
type AppSecret struct{ ID, Secret string }

// sessionKeyUse separates this key from others that are derived from the same secrets.
const sessionKeyUse = "holdfast session ids v1"

// SessionKey derives the key of session ids from the applications, in whatever order
// they come: every node that serves the same ones has the same key, and so has a node
// after its restart. When a secret changes, the ids that clients hold become forged
// ones. The applications' ids are distinct.
func SessionKey(apps []AppSecret) [16]byte { return [16]byte(derive(apps, sessionKeyUse, 16)) }

// clusterKeyUse is sessionKeyUse of ClusterKey.
const clusterKeyUse = "holdfast cluster v1"

// ClusterKey derives the key with which the nodes of a cluster authenticate what they
// tell each other, as SessionKey does.
func ClusterKey(apps []AppSecret) [32]byte { return [32]byte(derive(apps, clusterKeyUse, 32)) }

// appKeyUse is sessionKeyUse of AppKey.
const appKeyUse = "holdfast cluster application v1"

// AppKey is ClusterKey for what concerns one application: it does not depend on which
// others a node serves.
func AppKey(app AppSecret) [32]byte { return [32]byte(derive([]AppSecret{app}, appKeyUse, 32)) }

func derive(apps []AppSecret, use string, bytes int) []byte {
	sorted := slices.Clone(apps)
	slices.SortFunc(sorted, func(a, b AppSecret) int { return strings.Compare(a.ID, b.ID) })
	// Lengths stand before the texts, so that no two lists are the same bytes.
	var secret []byte
	for _, a := range sorted {
		for _, text := range []string{a.ID, a.Secret} {
			secret = binary.BigEndian.AppendUint64(secret, uint64(len(text)))
			secret = append(secret, text...)
		}
	}
	derived, err := hkdf.Key(sha256.New, secret, nil, use, bytes)
	if err != nil {
		panic(err) // so few bytes are within what SHA-256 can expand to
	}
	return derived
}

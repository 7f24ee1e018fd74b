package persist

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// epochLen: 12 of 62 characters, 71 bits; two epochs of a channel never meet.
const epochLen = 12

const epochAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// newEpoch is an epoch that was never used.
func newEpoch() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return epochOf(b)
}

// derivedEpoch is the epoch that a head of an earlier life continues with. It is the
// same each time it is asked for, since nothing is written until the channel's next
// event.
func (m *meta) derivedEpoch(key, old string) string {
	h := sha256.New()
	var n [12]byte
	binary.LittleEndian.PutUint32(n[:], m.life)
	binary.LittleEndian.PutUint64(n[4:], m.salt)
	h.Write(n[:])
	for _, s := range [...]string{key, old} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	var b [16]byte
	copy(b[:], h.Sum(nil))
	return epochOf(b)
}

// epochOf writes 128 bits in the alphabet, cut to epochLen.
func epochOf(b [16]byte) string {
	hi, lo := binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])
	var text [epochLen]byte
	for i := range text {
		v := &hi
		if i >= epochLen/2 {
			v = &lo
		}
		text[i] = epochAlphabet[*v%62]
		*v /= 62
	}
	return string(text[:])
}

// era is one epoch of a channel. Immutable and shared by its events.
type era struct {
	epoch string
	start uint64 // the channel's seq when it began
}

func newSalt() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

func millis(t time.Time) int64 { return max(0, t.UnixMilli()) }

package pusher

import (
	"bytes"
	"strconv"
	"time"
)

const (
	// MaxSeq is the largest sequence number: the largest integer that JavaScript
	// holds exactly.
	MaxSeq = 1<<53 - 1

	minEpoch = 8
	maxEpoch = 16

	// maxRewindEvents is the largest number in "rewind":10.
	maxRewindEvents = 1000
	// maxRewindDigits is the length of the number in "rewind":"30s".
	maxRewindDigits = 6
)

// Recover is where a subscriber says that it stands. Its slices are borrowed like
// those of Subscribe.
type Recover struct {
	Epoch []byte
	// Seq is the last event that the subscriber has seen; 0 = none.
	Seq uint64
	// SocketID is the one that the subscriber had when it was there before; nil when
	// it does not say.
	SocketID []byte
}

// Rewind is how far back a new subscriber wants to begin. One of the two is set.
type Rewind struct {
	Events int           // 1 to 1000
	Age    time.Duration // at least 1 s
}

// Recover reads the recover member of a subscribe. ErrMalformed: it is no object,
// epoch or seq is missing, or a member is out of range or of another type. A number
// that is written as a string is of another type.
func (d *Decoder) Recover(value []byte, r *Recover) error {
	*r = Recover{}
	var epoch, seq, socketID []byte
	o := openObject(value)
	for o.next() {
		switch {
		case o.named("epoch"):
			epoch = o.value
		case o.named("seq"):
			seq = o.value
		case o.named("socket_id"):
			socketID = o.value
		}
	}
	if !o.ok() || !isString(epoch) {
		return ErrMalformed
	}
	r.Epoch = epoch[1 : len(epoch)-1]
	if !ValidEpoch(r.Epoch) {
		return ErrMalformed // an escape is no letter either: an epoch has none
	}
	var ok bool
	if r.Seq, ok = parseSeq(seq); !ok {
		return ErrMalformed
	}
	if socketID == nil || isNull(socketID) {
		return nil
	}
	if !isString(socketID) || !ValidSocketID(string(socketID[1:len(socketID)-1])) {
		return ErrMalformed
	}
	r.SocketID = socketID[1 : len(socketID)-1]
	return nil
}

// ParseRewind reads the rewind member of a subscribe: a whole number of events, or
// a string of a number and s, m or h. ErrMalformed: anything else.
func ParseRewind(value []byte) (Rewind, error) {
	if n := len(value); n >= 2 && isString(value) && value[n-1] == '"' {
		return parseRewindAge(value[1 : n-1])
	}
	n, err := strconv.ParseUint(string(value), 10, 32)
	if err != nil || n < 1 || n > maxRewindEvents {
		return Rewind{}, ErrMalformed
	}
	return Rewind{Events: int(n)}, nil
}

func parseRewindAge(text []byte) (Rewind, error) {
	if len(text) < 2 || len(text) > maxRewindDigits+1 || text[0] == '0' {
		return Rewind{}, ErrMalformed
	}
	n, err := strconv.ParseUint(string(text[:len(text)-1]), 10, 32)
	if err != nil {
		return Rewind{}, ErrMalformed
	}
	unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour}[text[len(text)-1]]
	if unit == 0 {
		return Rewind{}, ErrMalformed
	}
	return Rewind{Age: time.Duration(n) * unit}, nil
}

// ParsePosition reads a position in its text form, "epoch:seq".
func ParsePosition(text []byte) (epoch []byte, seq uint64, ok bool) {
	colon := bytes.IndexByte(text, ':')
	if colon < 0 || !ValidEpoch(text[:colon]) {
		return nil, 0, false
	}
	seq, ok = parseSeq(text[colon+1:])
	return text[:colon], seq, ok
}

// AppendPositionText appends a position in its text form.
func AppendPositionText(dst []byte, epoch string, seq uint64) []byte {
	dst = append(dst, epoch...)
	dst = append(dst, ':')
	return strconv.AppendUint(dst, seq, 10)
}

// ValidEpoch tells whether a text can be an epoch: 8 to 16 letters and digits.
func ValidEpoch(epoch []byte) bool {
	if len(epoch) < minEpoch || len(epoch) > maxEpoch {
		return false
	}
	for _, c := range epoch {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// parseSeq reads a sequence number: digits, without sign, fraction, exponent or
// leading zeros.
func parseSeq(text []byte) (uint64, bool) {
	if len(text) == 0 || len(text) > 16 || (text[0] == '0' && len(text) > 1) {
		return 0, false
	}
	var n uint64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= MaxSeq
}

package persist

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// A group of the journal is a sequence of records, little-endian:
//
//	| size u32 | kind u8 | flags u8 | class u8 | epoch length u8 | key length u16 | origin length u8 | id length u8 |
//	| life u32 | ttl u32 seconds | time_ms u64 | seq u64 | start u64 | total u64 | payload length u32 |
//	| key | epoch | origin | id | payload |
//
// size counts the whole record. By kind:
//
//	event   one event. seq 0: it is not part of the channel's history, only its last
//	        event (flag cached) or its idempotency key (id) is kept. total is the sum of
//	        the channel's payload lengths up to and with it.
//	turn    the channel's epoch changed at seq, without an event: start = seq.
//	        Events after total, up to seq, were withdrawn.
//	answer  the answer to an idempotent request: id, and the answer as payload.
//
// The frame around the group carries the checksum.
const (
	recordHeader = 56

	kindEvent  = 1
	kindTurn   = 2
	kindAnswer = 3

	flagDurable = 1 // the channel's rule was durable
	flagCached  = 2 // becomes the channel's last event for ttl

	maxKey    = 512
	maxOrigin = 48
	maxEpoch  = 16
	maxID     = 255
	maxSeq    = 1<<53 - 1
)

// record is one decoded record. Strings and slices borrow from the bytes decoded.
type record struct {
	kind, flags, class uint8
	life               uint32
	ttl                uint32 // seconds
	timeMS             int64
	seq, start, total  uint64
	key, epoch         []byte
	origin, id         []byte
	payload            []byte
}

// appendRecord appends all of a record but its payload, which the caller appends
// and endRecord closes.
func appendRecord(dst []byte, r *record, key, epoch, origin string) []byte {
	dst = append(dst, 0, 0, 0, 0, r.kind, r.flags, r.class, uint8(len(epoch)))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(key)))
	dst = append(dst, uint8(len(origin)), uint8(len(r.id)))
	dst = binary.LittleEndian.AppendUint32(dst, r.life)
	dst = binary.LittleEndian.AppendUint32(dst, r.ttl)
	for _, v := range [...]uint64{uint64(r.timeMS), r.seq, r.start, r.total} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	dst = append(dst, 0, 0, 0, 0)
	dst = append(dst, key...)
	dst = append(dst, epoch...)
	dst = append(dst, origin...)
	return append(dst, r.id...)
}

// endRecord fills in the sizes of the record that begins at at, whose payload of n
// bytes ends dst, and its running total.
func endRecord(dst []byte, at, n int, total uint64) {
	b := dst[at:]
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint64(b[44:], total)
	binary.LittleEndian.PutUint32(b[52:], uint32(n))
}

// decodeRecord decodes the first record of b and returns what follows it.
func decodeRecord(r *record, b []byte) (rest []byte, err error) {
	if len(b) < recordHeader {
		return nil, fmt.Errorf("%w: %d bytes are no record", ErrDamaged, len(b))
	}
	size := uint64(binary.LittleEndian.Uint32(b))
	epoch, key, origin, id := int(b[7]), int(binary.LittleEndian.Uint16(b[8:])), int(b[10]), int(b[11])
	payload := uint64(binary.LittleEndian.Uint32(b[52:]))
	if size > uint64(len(b)) || size != recordHeader+uint64(epoch+key+origin+id)+payload {
		return nil, fmt.Errorf("%w: record of %d bytes does not add up", ErrDamaged, size)
	}
	*r = record{
		kind: b[4], flags: b[5], class: b[6],
		life: binary.LittleEndian.Uint32(b[12:]), ttl: binary.LittleEndian.Uint32(b[16:]),
		timeMS: int64(binary.LittleEndian.Uint64(b[20:])), seq: binary.LittleEndian.Uint64(b[28:]),
		start: binary.LittleEndian.Uint64(b[36:]), total: binary.LittleEndian.Uint64(b[44:]),
	}
	rest = b[size:]
	b = b[recordHeader:size:size]
	take := func(n int) []byte {
		v := b[:n:n]
		b = b[n:]
		return v
	}
	r.key, r.epoch, r.origin, r.id = take(key), take(epoch), take(origin), take(id)
	r.payload = b
	return rest, r.check()
}

// check refuses what no appender writes.
func (r *record) check() error {
	bad := ""
	switch {
	case r.kind < kindEvent || r.kind > kindAnswer:
		bad = "kind"
	case r.flags&^(flagDurable|flagCached) != 0:
		bad = "flags"
	case r.kind == kindAnswer:
		if len(r.id) == 0 || len(r.key) != 0 {
			bad = "answer"
		}
	case !validKey(string(r.key)):
		bad = "key"
	case len(r.epoch) == 0 || len(r.epoch) > maxEpoch || len(r.origin) > maxOrigin:
		bad = "epoch or origin"
	case r.seq > maxSeq || r.start > r.seq || r.timeMS < 0:
		bad = "seq or time"
	case r.kind == kindEvent && r.seq != 0 && r.start == r.seq:
		bad = "start"
	case r.kind == kindTurn && (r.start != r.seq || r.total > r.seq):
		bad = "turn"
	}
	if bad != "" {
		return fmt.Errorf("%w: record with a bad %s", ErrDamaged, bad)
	}
	return nil
}

func validKey(key string) bool {
	return key != "" && len(key) <= maxKey && strings.IndexByte(key, 0) < 0
}

package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

const (
	// MaxKeyBytes bounds a channel's name in the log.
	MaxKeyBytes = 512
	// MaxOriginBytes bounds the origin that is kept beside a payload.
	MaxOriginBytes = 48
	// MaxPayloadBytes bounds a payload. It keeps a damaged length from being believed.
	MaxPayloadBytes = 16 << 20
	// MaxSeq is the largest sequence number: what JSON numbers carry exactly.
	MaxSeq = 1<<53 - 1
)

// Record is what is kept of one event.
type Record struct {
	Key     string // channel; 1 to MaxKeyBytes bytes, none of them zero
	Class   Class  // of the rule that keeps it; not stored with the record
	Seq     uint64 // 1 … MaxSeq
	TimeMS  int64  // Unix milliseconds
	Total   uint64 // sum of the channel's payload lengths up to and with this event
	Flags   uint8  // the caller's
	Origin  []byte // at most MaxOriginBytes
	Payload []byte
}

// A record in a segment's bucket "records":
//
//	key   = | channel bytes | 0x00 | seq u64 BE |
//	value = | crc u32 | version u8 = 1 | flags u8 | origin length u8 | time_ms u64 | total u64 | origin | payload |
//
// Numbers of the value are little-endian. crc is CRC-32C of the key and of the
// value from its version on: a record that turns up under another key is damaged.
const (
	recordVersion = 1
	recordHeader  = 4 + 1 + 1 + 1 + 8 + 8
	seqBytes      = 1 + 8 // what follows the channel in a record's key

	maxRecordValue = recordHeader + MaxOriginBytes + MaxPayloadBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf is the checksum of a value stored under key.
func sumOf(key, value []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value)
}

func checkKey(key string) error {
	switch {
	case len(key) > MaxKeyBytes:
		return fmt.Errorf("%w: key of %d bytes, at most %d", ErrTooLarge, len(key), MaxKeyBytes)
	case key == "" || strings.IndexByte(key, 0) >= 0:
		return fmt.Errorf("%w: %q", ErrBadKey, key)
	}
	return nil
}

func (r *Record) check() error {
	switch {
	case len(r.Origin) > MaxOriginBytes:
		return fmt.Errorf("%w: origin of %d bytes, at most %d", ErrTooLarge, len(r.Origin), MaxOriginBytes)
	case len(r.Payload) > MaxPayloadBytes:
		return fmt.Errorf("%w: payload of %d bytes", ErrTooLarge, len(r.Payload))
	case r.Seq == 0 || r.Seq > MaxSeq:
		return fmt.Errorf("%w: %q at seq %d", ErrBadKey, r.Key, r.Seq)
	case r.Class >= Classes:
		return fmt.Errorf("%w: class %d", ErrBadKey, r.Class)
	}
	return checkKey(r.Key)
}

func appendRecordKey(dst []byte, key string, seq uint64) []byte {
	dst = append(append(dst, key...), 0)
	return binary.BigEndian.AppendUint64(dst, seq)
}

// splitRecordKey borrows from k.
func splitRecordKey(k []byte) (key []byte, seq uint64, ok bool) {
	n := len(k) - seqBytes
	if n < 1 || n > MaxKeyBytes || k[n] != 0 {
		return nil, 0, false
	}
	seq = binary.BigEndian.Uint64(k[n+1:])
	return k[:n], seq, seq != 0 && seq <= MaxSeq
}

func (r *Record) valueBytes() int { return recordHeader + len(r.Origin) + len(r.Payload) }

// appendRecordValue appends the value of r, which is stored under k.
func appendRecordValue(dst, k []byte, r *Record) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, recordVersion, r.Flags, byte(len(r.Origin)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.TimeMS))
	dst = binary.LittleEndian.AppendUint64(dst, r.Total)
	dst = append(append(dst, r.Origin...), r.Payload...)
	binary.LittleEndian.PutUint32(dst[at:], sumOf(k, dst[at+4:]))
	return dst
}

// decodeRecord fills all of r but Key and Class from a value stored under k; its
// byte slices borrow from v.
func decodeRecord(r *Record, k, v []byte) error {
	_, seq, ok := splitRecordKey(k)
	switch {
	case !ok:
		return fmt.Errorf("%w: record key %.40q", ErrDamaged, k)
	case len(v) < recordHeader || len(v) > maxRecordValue:
		return fmt.Errorf("%w: record %.40q has %d bytes", ErrDamaged, k, len(v))
	case binary.LittleEndian.Uint32(v) != sumOf(k, v[4:]):
		return fmt.Errorf("%w: record %.40q fails its checksum", ErrDamaged, k)
	case v[4] != recordVersion:
		return fmt.Errorf("%w: record %.40q has version %d", ErrDamaged, k, v[4])
	}
	origin := int(v[6])
	if origin > MaxOriginBytes || recordHeader+origin > len(v) {
		return fmt.Errorf("%w: record %.40q has an origin of %d bytes", ErrDamaged, k, origin)
	}
	r.Seq = seq
	r.Flags = v[5]
	r.TimeMS = int64(binary.LittleEndian.Uint64(v[7:]))
	r.Total = binary.LittleEndian.Uint64(v[15:])
	r.Origin = v[recordHeader : recordHeader+origin : recordHeader+origin]
	r.Payload = v[recordHeader+origin:]
	return nil
}

package segment

import (
	"encoding/binary"
	"fmt"
)

const (
	maxIDBytes    = 4096
	maxNameBytes  = 64
	maxValueBytes = 16 << 20
)

// Key is an idempotency key with what is remembered under it. Both are opaque here.
type Key struct {
	ID     []byte // 1 to 4096 bytes
	TimeMS int64  // when it was used; not negative
	Value  []byte
}

// In heads.db, bucket "keys", under the id:
//
//	| crc u32 | version u8 = 1 | time_ms u64 | value |
//
// and bucket "keytimes", which finds the oldest keys without touching the others:
//
//	key   = | time_ms u64 BE | id |
//	value = empty
//
// Named values of the caller, bucket "meta", under the name:
//
//	| crc u32 | version u8 = 1 | value |
//
// Numbers of the values are little-endian; crc as in a record.
const (
	keyVersion  = 1
	keyHeader   = 4 + 1 + 8
	metaVersion = 1
	metaHeader  = 4 + 1
)

func (k *Key) check() error {
	switch {
	case len(k.ID) == 0:
		return fmt.Errorf("%w: empty id", ErrBadKey)
	case k.TimeMS < 0:
		return fmt.Errorf("%w: id %.40q at %d ms", ErrBadKey, k.ID, k.TimeMS)
	case len(k.ID) > maxIDBytes || len(k.Value) > maxValueBytes:
		return fmt.Errorf("%w: id of %d bytes with %d bytes of value", ErrTooLarge, len(k.ID), len(k.Value))
	}
	return nil
}

func (k *Key) valueBytes() int { return keyHeader + len(k.Value) }

func appendKeyValue(dst []byte, k *Key) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, keyVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(k.TimeMS))
	dst = append(dst, k.Value...)
	binary.LittleEndian.PutUint32(dst[at:], sumOf(k.ID, dst[at+4:]))
	return dst
}

// decodeKey borrows from id and v.
func decodeKey(id, v []byte) (Key, error) {
	switch {
	case len(v) < keyHeader:
		return Key{}, fmt.Errorf("%w: idempotency key %.40q has %d bytes", ErrDamaged, id, len(v))
	case binary.LittleEndian.Uint32(v) != sumOf(id, v[4:]):
		return Key{}, fmt.Errorf("%w: idempotency key %.40q fails its checksum", ErrDamaged, id)
	case v[4] != keyVersion:
		return Key{}, fmt.Errorf("%w: idempotency key %.40q has version %d", ErrDamaged, id, v[4])
	}
	return Key{ID: id, TimeMS: int64(binary.LittleEndian.Uint64(v[5:])), Value: v[keyHeader:]}, nil
}

func appendKeyTime(dst []byte, timeMS int64, id []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(timeMS)), id...)
}

// splitKeyTime borrows from k.
func splitKeyTime(k []byte) (timeMS int64, id []byte, ok bool) {
	if len(k) <= 8 {
		return 0, nil, false
	}
	timeMS = int64(binary.BigEndian.Uint64(k))
	return timeMS, k[8:], timeMS >= 0
}

func appendMeta(dst []byte, name string, value []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, metaVersion)
	dst = append(dst, value...)
	binary.LittleEndian.PutUint32(dst[at:], sumOf([]byte(name), dst[at+4:]))
	return dst
}

// decodeMeta borrows from v.
func decodeMeta(name string, v []byte) ([]byte, error) {
	switch {
	case len(v) < metaHeader:
		return nil, fmt.Errorf("%w: value %.40q has %d bytes", ErrDamaged, name, len(v))
	case binary.LittleEndian.Uint32(v) != sumOf([]byte(name), v[4:]):
		return nil, fmt.Errorf("%w: value %.40q fails its checksum", ErrDamaged, name)
	case v[4] != metaVersion:
		return nil, fmt.Errorf("%w: value %.40q has version %d", ErrDamaged, name, v[4])
	}
	return v[metaHeader:], nil
}

package segment

import (
	"encoding/binary"
	"fmt"
)

const (
	maxEpochBytes = 64
	maxLastBytes  = 16 << 20
)

// Head is where a channel stands.
type Head struct {
	Key        string
	Epoch      string // at most 64 bytes
	Start      uint64 // first seq of the epoch less one: positions below it belong to another
	Seq        uint64 // of the last event; 0 = none yet
	Total      uint64 // running total of payload bytes after it
	TimeMS     int64  // its time
	Life       uint32 // generation of the log's life in which the epoch was last proved
	Durable    bool
	Last       []byte // last event of a cache channel as the caller encodes it; nil = none
	LastSeq    uint64
	LastTimeMS int64
}

// A head in the bucket "heads" of heads.db, under the channel's bytes:
//
//	| crc u32 | version u8 = 1 | flags u8 | epoch length u8 | life u32 | start u64 | seq u64 | total u64 | time_ms u64 |
//	| last seq u64 | last time_ms u64 | epoch | last |
//
// flags: 1 durable, 2 has a last event. Numbers are little-endian; crc as in a record.
const (
	headVersion     = 1
	headHeader      = 4 + 1 + 1 + 1 + 4 + 6*8
	headFlagDurable = 1
	headFlagLast    = 2
)

func (h *Head) check() error {
	switch {
	case len(h.Epoch) > maxEpochBytes:
		return fmt.Errorf("%w: epoch of %d bytes, at most %d", ErrTooLarge, len(h.Epoch), maxEpochBytes)
	case len(h.Last) > maxLastBytes:
		return fmt.Errorf("%w: last event of %d bytes", ErrTooLarge, len(h.Last))
	}
	return checkKey(h.Key)
}

func (h *Head) valueBytes() int { return headHeader + len(h.Epoch) + len(h.Last) }

// appendHead appends the value of h, which is stored under k.
func appendHead(dst, k []byte, h *Head) []byte {
	at := len(dst)
	var flags byte
	if h.Durable {
		flags |= headFlagDurable
	}
	if h.Last != nil {
		flags |= headFlagLast
	}
	dst = append(dst, 0, 0, 0, 0, headVersion, flags, byte(len(h.Epoch)))
	dst = binary.LittleEndian.AppendUint32(dst, h.Life)
	for _, n := range [...]uint64{h.Start, h.Seq, h.Total, uint64(h.TimeMS), h.LastSeq, uint64(h.LastTimeMS)} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	dst = append(append(dst, h.Epoch...), h.Last...)
	binary.LittleEndian.PutUint32(dst[at:], sumOf(k, dst[at+4:]))
	return dst
}

// decodeHead copies what it keeps.
func decodeHead(k, v []byte) (Head, error) {
	switch {
	case len(k) == 0 || len(k) > MaxKeyBytes:
		return Head{}, fmt.Errorf("%w: head key of %d bytes", ErrDamaged, len(k))
	case len(v) < headHeader:
		return Head{}, fmt.Errorf("%w: head %.40q has %d bytes", ErrDamaged, k, len(v))
	case binary.LittleEndian.Uint32(v) != sumOf(k, v[4:]):
		return Head{}, fmt.Errorf("%w: head %.40q fails its checksum", ErrDamaged, k)
	case v[4] != headVersion:
		return Head{}, fmt.Errorf("%w: head %.40q has version %d", ErrDamaged, k, v[4])
	}
	flags, epoch := v[5], int(v[6])
	if epoch > maxEpochBytes || headHeader+epoch > len(v) {
		return Head{}, fmt.Errorf("%w: head %.40q has an epoch of %d bytes", ErrDamaged, k, epoch)
	}
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(v[11+8*i:]) }
	h := Head{
		Key:        string(k),
		Epoch:      string(v[headHeader : headHeader+epoch]),
		Start:      number(0),
		Seq:        number(1),
		Total:      number(2),
		TimeMS:     int64(number(3)),
		Life:       binary.LittleEndian.Uint32(v[7:]),
		Durable:    flags&headFlagDurable != 0,
		LastSeq:    number(4),
		LastTimeMS: int64(number(5)),
	}
	if flags&headFlagLast != 0 {
		h.Last = append([]byte{}, v[headHeader+epoch:]...)
	}
	return h, nil
}

// headTime reads only the time of a head whose checksum was verified before, as
// Open does for all of them.
func headTime(v []byte) (int64, bool) {
	if len(v) < headHeader {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(v[11+8*3:])), true
}

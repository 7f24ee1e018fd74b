package segment

import (
	"encoding/binary"
	"fmt"
)

// summary tells what a segment file holds, so that most reads need not touch it.
type summary struct {
	records  uint64
	firstMS  int64 // least and greatest time of a record
	lastMS   int64
	firstKey string // least and greatest channel
	lastKey  string
}

func (s *summary) note(r *Record) {
	if s.records == 0 {
		s.firstMS, s.lastMS, s.firstKey, s.lastKey = r.TimeMS, r.TimeMS, r.Key, r.Key
	}
	s.records++
	s.firstMS, s.lastMS = min(s.firstMS, r.TimeMS), max(s.lastMS, r.TimeMS)
	s.firstKey, s.lastKey = min(s.firstKey, r.Key), max(s.lastKey, r.Key)
}

// footer is written into a segment when it is sealed. A file with a footer was
// closed in order: Open trusts it and reads nothing else of it.
type footer struct {
	summary
	class  Class
	number uint64
	seed   uint64 // of hashKey
	filter *bloom // over the channels
}

// The footer, bucket "meta", key "footer":
//
//	| crc u32 | version u8 = 1 | class u8 | number u64 | records u64 | first_ms u64 | last_ms u64 |
//	| seed u64 | first key length u16 | first key | last key length u16 | last key | words u32 | filter, words × u64 |
//
// Numbers are little-endian; crc as in a record. The filter is bloom's: a word for
// 64 positions, position p is bit p mod 64 of word p div 64.
const (
	footerVersion = 1
	footerHeader  = 4 + 1 + 1 + 5*8
)

var footerName = []byte("footer")

func appendFooter(dst []byte, f *footer) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, footerVersion, byte(f.class))
	for _, n := range [...]uint64{f.number, f.records, uint64(f.firstMS), uint64(f.lastMS), f.seed} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	for _, key := range [...]string{f.firstKey, f.lastKey} {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(key)))
		dst = append(dst, key...)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.filter.words)))
	for _, w := range f.filter.words {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	binary.LittleEndian.PutUint32(dst[at:], sumOf(footerName, dst[at+4:]))
	return dst
}

// decodeFooter copies what it keeps.
func decodeFooter(v []byte) (*footer, error) {
	switch {
	case len(v) < footerHeader:
		return nil, fmt.Errorf("%w: footer of %d bytes", ErrDamaged, len(v))
	case binary.LittleEndian.Uint32(v) != sumOf(footerName, v[4:]):
		return nil, fmt.Errorf("%w: the footer fails its checksum", ErrDamaged)
	case v[4] != footerVersion:
		return nil, fmt.Errorf("%w: footer of version %d", ErrDamaged, v[4])
	case v[5] >= Classes:
		return nil, fmt.Errorf("%w: footer of class %d", ErrDamaged, v[5])
	}
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(v[6+8*i:]) }
	f := &footer{class: Class(v[5]), number: number(0), seed: number(4)}
	f.records, f.firstMS, f.lastMS = number(1), int64(number(2)), int64(number(3))
	rest := v[footerHeader:]
	for _, key := range [...]*string{&f.firstKey, &f.lastKey} {
		if len(rest) < 2 {
			return nil, fmt.Errorf("%w: the footer ends in a key", ErrDamaged)
		}
		n := int(binary.LittleEndian.Uint16(rest))
		if n > MaxKeyBytes || len(rest) < 2+n {
			return nil, fmt.Errorf("%w: footer with a key of %d bytes", ErrDamaged, n)
		}
		*key, rest = string(rest[2:2+n]), rest[2+n:]
	}
	if len(rest) < 4 {
		return nil, fmt.Errorf("%w: the footer ends before its filter", ErrDamaged)
	}
	words := int(binary.LittleEndian.Uint32(rest))
	rest = rest[4:]
	if words == 0 || len(rest)%8 != 0 || words != len(rest)/8 {
		return nil, fmt.Errorf("%w: footer with %d words in %d bytes", ErrDamaged, words, len(rest))
	}
	f.filter = &bloom{words: make([]uint64, words)}
	for i := range f.filter.words {
		f.filter.words[i] = binary.LittleEndian.Uint64(rest[8*i:])
	}
	return f, nil
}

package persist

import (
	"encoding/binary"
	"fmt"
)

// lastEvent is the last event of a cache channel. Immutable; nil is none.
type lastEvent struct {
	event   Event
	expires int64 // Unix milliseconds
}

func (l *lastEvent) live(nowMS int64) bool { return l != nil && nowMS < l.expires }

// The last event as it is stored with its channel's head:
//
//	| version u8 = 1 | origin length u8 | expires_ms u64 | time_ms u64 | seq u64 | origin | payload |
const (
	lastVersion = 1
	lastHeader  = 26
)

func (l *lastEvent) encode() []byte {
	b := make([]byte, 0, lastHeader+len(l.event.Origin)+len(l.event.Payload))
	b = append(b, lastVersion, uint8(len(l.event.Origin)))
	for _, v := range [...]uint64{uint64(l.expires), uint64(l.event.TimeMS), l.event.Seq} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return append(append(b, l.event.Origin...), l.event.Payload...)
}

// decodeLast keeps b.
func decodeLast(b []byte) (*lastEvent, error) {
	if len(b) < lastHeader || b[0] != lastVersion || lastHeader+int(b[1]) > len(b) {
		return nil, fmt.Errorf("%w: last event of %d bytes", ErrDamaged, len(b))
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[2+8*i:]) }
	origin := lastHeader + int(b[1])
	return &lastEvent{
		expires: int64(word(0)),
		event: Event{
			TimeMS: int64(word(1)), Seq: word(2),
			Origin: b[lastHeader:origin:origin], Payload: b[origin:],
		},
	}, nil
}

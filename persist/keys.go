package persist

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"sync"

	"github.com/holdfast-edge/holdfast/persist/journal"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// keyTable holds the idempotency keys that no checkpoint has written yet; the others
// are looked up on disk.
type keyTable struct {
	// flight is held from the journal write of an answer until it is in the table.
	flight sync.Mutex

	max   int // keys in memory; beyond, while checkpoints fail, none is remembered
	mu    sync.Mutex
	fresh map[string]keyValue // guarded by mu
	taken map[string]keyValue // guarded by mu: in the checkpoint under way
}

type keyValue struct {
	timeMS int64
	value  []byte
}

// Ids are hashed, so that no length of a name matters to the disk; the first byte
// tells an event's from an answer's.
const idLen = 21

func hashedID(kind byte, parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
		h.Write([]byte{0})
	}
	var b [1 + sha256.Size]byte
	b[0] = kind
	h.Sum(b[1:1])
	return string(b[:idLen])
}

// eventID names an idempotency key of one channel. A key holds no 0x00, so the two
// parts cannot be shifted against each other.
func eventID(key string, idem []byte) string { return hashedID('e', []byte(key), idem) }

func answerID(id []byte) string { return hashedID('a', id) }

func idBytes(id string) []byte {
	if id == "" {
		return nil
	}
	return []byte(id)
}

func (t *keyTable) put(id string, timeMS int64, value []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.fresh) < t.max {
		t.fresh[id] = keyValue{timeMS, value}
	}
}

func (t *keyTable) remove(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.fresh, id)
	delete(t.taken, id)
}

func (t *keyTable) get(id string) (keyValue, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v, ok := t.fresh[id]; ok {
		return v, true
	}
	v, ok := t.taken[id]
	return v, ok
}

func (t *keyTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.fresh) + len(t.taken)
}

// take hands the fresh keys to a checkpoint.
func (t *keyTable) take() []segment.Key {
	t.flight.Lock()
	defer t.flight.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken, t.fresh = t.fresh, map[string]keyValue{}
	keys := make([]segment.Key, 0, len(t.taken))
	for id, v := range t.taken {
		keys = append(keys, segment.Key{ID: []byte(id), TimeMS: v.timeMS, Value: v.value})
	}
	return keys
}

// giveBack ends what take began.
func (t *keyTable) giveBack(written bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !written && t.taken != nil {
		maps.Copy(t.taken, t.fresh)
		t.fresh = t.taken
	}
	t.taken = nil
}

// lookup finds a key that is not too old. It may read the disk.
func (l *Log) lookup(id string) (value []byte, ok bool, err error) {
	v, ok := l.keys.get(id)
	if !ok {
		k, found, err := l.store.Lookup([]byte(id))
		if err != nil || !found {
			return nil, false, err
		}
		v = keyValue{k.TimeMS, k.Value}
	}
	if l.nowMS()-v.timeMS > l.cfg.IdempotencyAge.Milliseconds() {
		return nil, false, nil
	}
	return v.value, true, nil
}

// former is what is remembered of the event that used an idempotency key:
//
//	| version u8 = 1 | seq u64 | start u64 | epoch |
type former struct {
	epoch      string
	start, seq uint64
}

const formerVersion = 1

func (f former) encode() []byte {
	b := append(make([]byte, 0, 17+len(f.epoch)), formerVersion)
	b = binary.LittleEndian.AppendUint64(b, f.seq)
	b = binary.LittleEndian.AppendUint64(b, f.start)
	return append(b, f.epoch...)
}

func decodeFormer(b []byte) (former, error) {
	if len(b) < 17 || len(b) > 17+maxEpoch || b[0] != formerVersion {
		return former{}, fmt.Errorf("%w: idempotency key with %d bytes", ErrDamaged, len(b))
	}
	return former{
		seq: binary.LittleEndian.Uint64(b[1:]), start: binary.LittleEndian.Uint64(b[9:]), epoch: string(b[17:]),
	}, nil
}

// seen tells whether an idempotency key was used on this channel.
func (s *shard) seen(id string) (former, bool) {
	if f, ok := s.g.fresh[id]; ok {
		return f, true
	}
	value, ok, err := s.log.lookup(id)
	if err == nil && ok {
		var f former
		if f, err = decodeFormer(value); err == nil {
			return f, true
		}
	}
	if err != nil {
		s.log.readFailed("key", err)
	}
	return former{}, false
}

// remember makes a key of this group known to the rest of it.
func (s *shard) remember(p *plan) {
	if s.g.fresh == nil {
		s.g.fresh = map[string]former{}
	}
	s.g.fresh[p.id] = s.formerOf(p)
}

func (s *shard) formerOf(p *plan) former {
	switch p.fate {
	case fateLogged:
		return former{epoch: p.state.era.epoch, start: p.state.era.start, seq: p.state.seq}
	case fateUnlogged:
		return former{epoch: p.c.next.era.epoch, start: p.c.next.era.start}
	default:
		return former{}
	}
}

// The answer to an idempotent request:
//
//	| version u8 = 1 | status u16 | sum [32]u8 | body |
const (
	answerVersion = 1
	answerHeader  = 35
)

func encodeAnswer(sum [32]byte, status int, body []byte) []byte {
	b := make([]byte, 0, answerHeader+len(body))
	b = append(b, answerVersion)
	b = binary.LittleEndian.AppendUint16(b, uint16(status))
	b = append(b, sum[:]...)
	return append(b, body...)
}

func decodeAnswer(b []byte) (sum [32]byte, status int, body []byte, err error) {
	if len(b) < answerHeader || b[0] != answerVersion {
		return sum, 0, nil, fmt.Errorf("%w: answer of %d bytes", ErrDamaged, len(b))
	}
	copy(sum[:], b[3:])
	return sum, int(binary.LittleEndian.Uint16(b[1:])), b[answerHeader:], nil
}

// Answer remembers the answer to the request with this id. With an error it is
// remembered by this process, but may not be by the next one. Any goroutine; it
// writes, but waits for no sync.
func (l *Log) Answer(id []byte, sum [32]byte, status int, body []byte) error {
	if l.closed.Load() {
		return ErrClosed
	}
	if l.standby.Load() {
		return ErrUnavailable
	}
	hashed, value, nowMS := answerID(id), encodeAnswer(sum, status, body), l.nowMS()
	if l.keys.len() >= l.cfg.IdempotencyKeys {
		return ErrBusy // checkpoints fail, and what they should write is all in memory
	}
	buf := make([]byte, journal.FrameLen, journal.FrameLen+recordHeader+idLen+len(value))
	r := record{kind: kindAnswer, life: l.meta.Load().life, timeMS: nowMS, id: []byte(hashed)}
	buf = appendRecord(buf, &r, "", "", "")
	buf = append(buf, value...)
	endRecord(buf, journal.FrameLen, len(value), 0)

	l.keys.flight.Lock()
	defer l.keys.flight.Unlock()
	_, err := l.journal.Append(buf)
	l.keys.put(hashed, nowMS, value)
	if err != nil {
		return fmt.Errorf("persist: remember answer: %w", err)
	}
	return nil
}

// Answered is the remembered answer to the request with this id. It may read the
// disk.
func (l *Log) Answered(id []byte) (sum [32]byte, status int, body []byte, ok bool, err error) {
	if l.standby.Load() {
		return sum, 0, nil, false, ErrUnavailable
	}
	value, ok, err := l.lookup(answerID(id))
	if err != nil || !ok {
		return sum, 0, nil, false, err
	}
	sum, status, body, err = decodeAnswer(value)
	return sum, status, body, err == nil, err
}

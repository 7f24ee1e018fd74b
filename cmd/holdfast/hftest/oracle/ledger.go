package oracle

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Position is where a channel stands; the zero value is none.
type Position struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

func (p Position) String() string { return p.Epoch + ":" + strconv.FormatUint(p.Seq, 10) }

// Outcome is what a publisher knows of an event.
type Outcome uint8

const (
	// Open: there was no answer, or it is not known how much of a request was done.
	// The event may be there.
	Open Outcome = iota
	// Taken: the API answered 200.
	Taken
	// Refused: the API answered that nothing was delivered.
	Refused
)

// Ledger is what was asked of the API and what it answered. The events of a channel
// are numbered from 1, and each is asked for after the one before it was answered or
// given up, so their numbers are the order of publishing.
type Ledger struct {
	// Immutable after NewLedger.
	seed uint64
	pad  int // most bytes that an event has beyond its number and hash

	mu    sync.Mutex
	clock int64              // guarded by mu: counts the stamps
	pages map[string]*ledged // guarded by mu: by channel
}

// ledged is one channel's part, entries[n-1] is event n.
type ledged struct{ entries []entry }

type entry struct {
	outcome Outcome
	durable bool
	at      Position // of a taken event that has one
	asked   int64    // stamp
	except  string   // the socket that is not to have it; "" = none
}

// NewLedger is an empty ledger; pad bounds the size of its events.
func NewLedger(seed uint64, pad int) *Ledger {
	return &Ledger{seed: seed, pad: pad, pages: map[string]*ledged{}}
}

// Ask enters the channel's next event and returns its number and its data.
func (l *Ledger) Ask(channel string, durable bool, except string) (n int, data string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pages[channel]
	if p == nil {
		p = &ledged{}
		l.pages[channel] = p
	}
	l.clock++
	p.entries = append(p.entries, entry{durable: durable, asked: l.clock, except: except})
	n = len(p.entries)
	return n, l.data(channel, n)
}

// Answer enters what became of an event; at is the zero Position for one without seq.
func (l *Ledger) Answer(channel string, n int, o Outcome, at Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &l.pages[channel].entries[n-1]
	e.outcome, e.at = o, at
}

// Stamp is a moment among those of asking.
func (l *Ledger) Stamp() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	return l.clock
}

// Last is the number of the channel's newest event.
func (l *Ledger) Last(channel string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.pages[channel]; p != nil {
		return len(p.entries)
	}
	return 0
}

// data is `<n> <hash> <padding>`; it follows from seed, channel and n alone.
func (l *Ledger) data(channel string, n int) string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], l.seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(n))
	sum := sha256.Sum256(append(b[:], channel...))
	text := hex.EncodeToString(sum[:])
	size := int(binary.LittleEndian.Uint32(sum[:])) % (l.pad + 1)
	return fmt.Sprintf("%d %s %s", n, text[:16], strings.Repeat(text, size/len(text)+1)[:size])
}

// Read returns the number of the event that data is, unaltered; ok is false if it is
// none of the channel's.
func (l *Ledger) Read(channel, data string) (n int, ok bool) {
	number, _, _ := strings.Cut(data, " ")
	n, err := strconv.Atoi(number)
	return n, err == nil && n > 0 && data == l.data(channel, n)
}

// Count is how many events have each outcome.
func (l *Ledger) Count() (taken, refused, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.pages {
		for _, e := range p.entries {
			switch e.outcome {
			case Taken:
				taken++
			case Refused:
				refused++
			case Open:
				open++
			}
		}
	}
	return taken, refused, open
}

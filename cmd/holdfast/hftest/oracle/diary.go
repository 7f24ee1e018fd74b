package oracle

import (
	"fmt"
	"strings"
	"sync"
)

// noteKind is what a client noted.
type noteKind uint8

const (
	// noteJoined: it subscribed without asking for anything, at a position.
	noteJoined noteKind = iota
	// noteEvent: an event came.
	noteEvent
	// noteSkipped: it was told of a position in place of an event.
	noteSkipped
	// noteTurned: it was told, while connected, that the epoch changed.
	noteTurned
	// noteRecovered: it came back, and the server says that nothing is missing.
	noteRecovered
	// noteGap: it came back, and the server says why something may be missing.
	noteGap
)

type note struct {
	kind   noteKind
	at     Position // all but events
	seq    uint64   // of an event; 0 = none
	data   string   // of an event
	reason string   // of a gap
	stamp  int64    // of the ledger, when it was noted; all but events
}

// String tells the note in a fault.
func (n note) String() string {
	kind := [...]string{"joined", "event", "skipped", "turned", "recovered", "gap"}[n.kind]
	return strings.TrimSpace(fmt.Sprintf("%s %s at %s (clock %d)", kind, n.reason, n.at, n.stamp))
}

// Diary is what one client received, channel by channel, in order.
type Diary struct {
	Name   string
	ledger *Ledger

	mu      sync.Mutex
	sockets map[string]bool   // guarded by mu: socket ids that it had
	pages   map[string][]note // guarded by mu
	settled bool              // guarded by mu
}

// NewDiary is the diary of a client that listens to what the ledger's publishers publish.
func NewDiary(name string, l *Ledger) *Diary {
	return &Diary{Name: name, ledger: l, sockets: map[string]bool{}, pages: map[string][]note{}}
}

// Connected notes a socket id that the client has from now on.
func (d *Diary) Connected(socketID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sockets[socketID] = true
}

// Joined notes a subscription that asked for nothing that was before.
func (d *Diary) Joined(channel string, at Position) {
	d.add(channel, note{kind: noteJoined, at: at, stamp: d.ledger.Stamp()})
}

// Event notes an event; seq 0 is one without.
func (d *Diary) Event(channel string, seq uint64, data string) {
	d.add(channel, note{kind: noteEvent, seq: seq, data: data})
}

// Skipped notes a position that stands for an event.
func (d *Diary) Skipped(channel string, at Position) {
	d.add(channel, note{kind: noteSkipped, at: at})
}

// Turned notes an epoch that changed under the subscriber.
func (d *Diary) Turned(channel string, at Position) {
	d.add(channel, note{kind: noteTurned, at: at, stamp: d.ledger.Stamp()})
}

// Recovered notes a subscription that goes on where the last one ended.
func (d *Diary) Recovered(channel string, at Position) {
	d.add(channel, note{kind: noteRecovered, at: at})
}

// Gap notes a subscription that does not, and the reason.
func (d *Diary) Gap(channel, reason string, at Position) {
	d.add(channel, note{kind: noteGap, reason: reason, at: at, stamp: d.ledger.Stamp()})
}

// Settled notes that the client is connected and everything that is on its way has
// had the time to arrive: whatever is missing now is lost.
func (d *Diary) Settled() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settled = true
}

func (d *Diary) add(channel string, n note) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pages[channel] = append(d.pages[channel], n)
}

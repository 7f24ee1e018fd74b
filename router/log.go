package router

import (
	"time"
)

// Position is where a channel stands: the last event that was handed out. It is
// meaningful to clients only together with its epoch, inside which the numbers have
// no holes.
type Position struct {
	Epoch string // "" = the channel has none
	// Start is the position at which the epoch began; below it nothing can be said.
	Start uint64
	Seq   uint64
	// Broken: an event was handed out that the log does not hold. Nobody can recover
	// across it; the next event of the log begins a new epoch.
	Broken bool
}

// Rule is how much of a channel is kept, and what is promised about it.
type Rule struct {
	Events int           // 0 = no history: events have no number, the channel no position
	Age    time.Duration //
	Bytes  int64         // of one channel; an event counts some tens more than its text
	// Replay false keeps events from those who were not there: recover and rewind
	// answer "off".
	Replay bool
	// Durable makes every publish to the channel durable.
	Durable bool
}

// HistoryRule is a rule for the channels whose name matches a pattern of literal
// characters, * (any number of characters) and ? (one).
type HistoryRule struct {
	Match string
	Rule
}

// Log keeps the events of channels. Its implementation is given to New; nil is a
// server without history. A key names a channel of an application.
type Log interface {
	LogWriter
	LogHeads
	LogReader
	LogAnswers
}

// LogWriter gives events their place in the order of their channels. Any goroutine.
type LogWriter interface {
	// Append queues all of the batch, in order, or none of it. It never waits for a disk;
	// that of a Broker waits for Redis, for a bounded time. Each item is Done exactly once.
	// The batch is the caller's again when Append returns. ErrBusy: too much is queued.
	// ErrLogUnavailable: one is durable and the log cannot promise that now.
	Append(batch []LogAppend) error
}

// LogHeads tells where channels stand.
type LogHeads interface {
	// Head never blocks. resident is false when only Load can tell.
	Head(key string) (at Position, resident bool)
	// Load may read the disk. Afterwards Head and Last can tell for a while.
	Load(key string) (Position, error)
	// Last is the last event of a cache channel, as long as it lives. It never blocks,
	// and finds nothing when Head is not resident. left is how long it still lives.
	Last(key string) (e LogEvent, left time.Duration, ok bool)
}

// LogReader reads what was kept.
type LogReader interface {
	// Recover tells whether all events after a position can be had, at most max.
	// reason is "" or one of the Reason constants. It may read the disk.
	Recover(key string, rule Rule, epoch string, from uint64, max int) (at Position, reason string)
	// Rewind finds the position at which a rewind by a number of events, or by an age,
	// begins. It may read the disk.
	Rewind(key string, rule Rule, events int, age time.Duration) (at Position, from uint64)
	// Block returns the block that holds an event. It may read the disk. ErrGone: the
	// event is no longer kept.
	Block(key string, seq uint64) (LogBlock, error)
	// Hot is Block from memory: it never blocks, and returns nil when that is not
	// enough.
	Hot(key string, seq uint64) LogBlock
	// History visits up to limit events after from; with all from the oldest one on.
	// oldest is the first that is kept, one more than the head when none is; what was kept
	// before the epoch began is shown with the rest. reason is that of Recover. It may read
	// the disk.
	History(key string, rule Rule, epoch string, from uint64, all bool, limit int, visit func(LogEvent) bool) (at Position, oldest uint64, reason string)
}

// LogAnswers remembers what requests with an idempotency key were answered, across
// restarts. It may touch the disk.
type LogAnswers interface {
	// Answered finds the answer under an id; sum is the hash of the request that got it.
	Answered(id []byte) (sum [32]byte, status int, body []byte, found bool, err error)
	// Answer stores it.
	Answer(id []byte, sum [32]byte, status int, body []byte) error
}

// LogBlock is a run of consecutive events. Immutable; its bytes may be kept.
type LogBlock interface {
	// Span is the first and the last number.
	Span() (first, last uint64)
	// Frames is the events from one number to another, both included, one behind the
	// other as they were stored: whole frames, ready to be written.
	Frames(from, to uint64) []byte
	// Origin is the socket id that was excluded from an event; empty when none was.
	Origin(seq uint64) string
}

// LogEvent is one stored event.
type LogEvent struct {
	Seq     uint64 // 0 = the channel has no history
	TimeMS  int64  // Unix milliseconds
	Payload []byte // what LogItem.AppendPayload made
}

// LogAppend is one event of one channel on its way into the log.
type LogAppend struct {
	Key     string
	Rule    Rule
	Durable bool
	Cache   time.Duration // > 0: the event becomes the channel's last one, for that long
	Origin  string        // socket id that is excluded
	Bytes   int           // about the size of the item's payload
	// IdempotencyKey is kept with the event: a later event of the channel with the
	// same one is a duplicate. nil = none.
	IdempotencyKey []byte
	Item           LogItem
}

// LogItem is what the log asks for and tells about an event. Both are called on a
// goroutine of the log, in the order of the channel, and do not block on anything
// that waits for the log. An item that is Done is the caller's again.
type LogItem interface {
	// AppendPayload appends the event's bytes, now that its number is known; 0 = it
	// has none.
	AppendPayload(dst []byte, epoch string, seq uint64) []byte
	// Done hands the event out, or tells why not.
	Done(LogResult)
}

// LogResult is what became of an event.
type LogResult struct {
	Epoch      string
	Start, Seq uint64 // Seq 0 = it has no number
	Payload    []byte // may be kept
	// Logged is false when the log could not take the event, which is handed out all
	// the same.
	Logged bool
	// Duplicate: its idempotency key is known. Nothing is handed out; Epoch and Seq
	// are those of the former event.
	Duplicate bool
	// Err: nothing is handed out and no number was used.
	Err error
}

// Reasons why nothing is replayed, as clients read them.
const (
	ReasonExpired     = "expired"     // older than what is kept
	ReasonEpoch       = "epoch"       // of another epoch
	ReasonAhead       = "ahead"       // beyond the head
	ReasonTooMany     = "too_many"    // more was missed than one recovery may replay
	ReasonUnavailable = "unavailable" // the log cannot answer
	ReasonOff         = "off"         // the channel has no history
	ReasonMalformed   = "malformed"   // the position cannot be read
)

// separator stands between the parts of a key. It is in no application's id.
const separator = "\x1f"

// logKey names a channel of an application in the log.
func logKey(app *App, channel string) string { return LogKey(app.id, channel) }

// LogKey is the name of an application's channel in the log.
func LogKey(appID, channel string) string { return appID + separator + channel }

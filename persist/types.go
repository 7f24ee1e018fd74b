package persist

import (
	"time"

	"github.com/holdfast-edge/holdfast/persist/segment"
)

// Rule says what is kept of a channel. It comes with every call and is evaluated
// then: a changed rule applies to what is already on disk.
type Rule struct {
	// Events kept of a channel. 0: no history; its events have no seq and the
	// channel no position.
	Events int
	// Age after which an event is no longer given out. It also chooses the files
	// that an event lies in, so a shorter age never keeps a longer one's files.
	Age time.Duration
	// Bytes of payload kept of a channel.
	Bytes int64
	// Replay false makes Recover answer ReasonOff and Rewind nothing; History works.
	Replay bool
	// Durable makes every event of the channel durable, and its epoch survive a
	// power cut.
	Durable bool
}

// Item is one event on its way through the log, implemented by the caller.
type Item interface {
	// AppendPayload appends the event's finished bytes to dst and returns it. It runs
	// on the sequencer, once the event's place is known, and must not block. seq 0
	// means that the event is not logged. It is called once; a second time with seq 0
	// only when the log failed to keep what the first call returned.
	AppendPayload(dst []byte, epoch string, seq uint64) []byte
	// Done is called exactly once, on the sequencer, in order per key. It must not
	// block.
	Done(r Result)
}

// Result is what became of one event.
type Result struct {
	// Epoch and Start are the channel's as they are with this event: positions below
	// Start belong to another epoch. Empty and 0 for a channel without history.
	Epoch string
	Start uint64
	// Seq of the event; 0 when it is not logged.
	Seq uint64
	// Payload is what AppendPayload returned. Immutable; may be kept, but a kept one
	// holds the memory of its whole group.
	Payload []byte
	// Logged tells whether the event can be replayed. False on a channel without
	// history, and on one with history while the log cannot write: the event is to be
	// delivered, without a seq.
	Logged bool
	// Err non-nil: the event is not to be delivered; it was not published.
	Err error
	// Duplicate: this idempotency key was seen before on this channel. Nothing was
	// published; Epoch and Seq are those of the former event (Seq 0 if that had none).
	Duplicate bool
}

// Append is one event for one channel.
type Append struct {
	// Key names the channel: 1 to 512 bytes without 0x00.
	Key  string
	Rule Rule
	// Durable makes Done wait for the disk, as Rule.Durable does. Later events of the
	// same channel wait behind it.
	Durable bool
	// Cache > 0 makes the event the channel's last one for that long, even when the
	// rule keeps no history.
	Cache time.Duration
	// Origin is stored beside the payload; at most 48 bytes.
	Origin string
	// IdemKey, when not empty, lets one event with these bytes pass in this channel
	// within Config.IdempotencyAge. At most 256 bytes.
	IdemKey []byte
	// Bytes is about what AppendPayload will append; it counts against
	// Config.QueueBytes. 0 is taken as 512.
	Bytes int
	Item  Item
}

// Position is where a channel stands.
type Position struct {
	Epoch string
	// Start is the seq at which the epoch began: smaller positions are of another.
	Start uint64
	// Seq of the last visible event.
	Seq uint64
	// Broken: events were handed out that are not in the log. Recover answers
	// ReasonUnavailable; a new epoch follows as soon as the log can write.
	Broken bool
	// Cached: Last has an event.
	Cached bool
}

// Event is one kept event.
type Event struct {
	Seq    uint64
	TimeMS int64 // Unix milliseconds; never falls within a channel
	// Origin and Payload are immutable and may be kept.
	Origin  []byte
	Payload []byte
}

// Block is a run of neighbouring events of one channel, immutable, with its
// payloads in one piece.
type Block = segment.Block

// Reason says why a recovery cannot be had; the empty one is success. The values
// are those of the wire.
type Reason string

const (
	// ReasonOK: everything after the position is there.
	ReasonOK Reason = ""
	// ReasonExpired: the position is older than what is kept.
	ReasonExpired Reason = "expired"
	// ReasonEpoch: the position is of another epoch.
	ReasonEpoch Reason = "epoch"
	// ReasonAhead: the position is beyond the head.
	ReasonAhead Reason = "ahead"
	// ReasonTooMany: more events were missed than may be replayed.
	ReasonTooMany Reason = "too_many"
	// ReasonUnavailable: the log cannot answer, or cannot prove that nothing is missing.
	ReasonUnavailable Reason = "unavailable"
	// ReasonOff: the channel keeps no history, or its rule allows no replay.
	ReasonOff Reason = "off"
)

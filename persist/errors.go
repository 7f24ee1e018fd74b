package persist

import (
	"errors"

	"github.com/holdfast-edge/holdfast/persist/segment"
)

// ErrBusy is returned by Append when more events wait for the sequencers than
// Config allows. None of them was queued and no seq was taken.
var ErrBusy = errors.New("persist: too many events wait to be logged")

// ErrDurableUnavailable is returned by Append, and by Result.Err, for a durable
// event that the log cannot write or sync. The
// event was not published.
var ErrDurableUnavailable = errors.New("persist: the log cannot make an event durable now")

// ErrDurableWaiting is returned by Append when Config.DurableWaiting durable events
// await their sync. None was queued and no seq was taken.
var ErrDurableWaiting = errors.New("persist: too many durable events await their sync")

// ErrClosed is returned once Close has been called.
var ErrClosed = errors.New("persist: the log is closed")

// ErrBadAppend is returned for an event whose key, origin or idempotency key is out
// of bounds.
var ErrBadAppend = errors.New("persist: key, origin or idempotency key out of bounds")

// ErrGone is returned by Block for an event that is not, or no longer, kept.
var ErrGone = segment.ErrGone

// ErrDamaged is returned by decoders for bytes that they did not write.
var ErrDamaged = errors.New("persist: damaged bytes")

package router

import (
	"errors"
	"fmt"
)

// ErrBusy is returned by Publish when a loop that would have to deliver the event
// is too far behind. Nothing was delivered; the caller may try again in a second.
var ErrBusy = errors.New("router: too many events are under way")

// ErrLogUnavailable is returned by Publish when a durable event cannot be kept now.
// It was not delivered and no number was used.
var ErrLogUnavailable = errors.New("router: the log cannot take durable events")

// ErrDurableWaiting is returned by Publish when too many durable events wait for the
// disk. Nothing was delivered and no number was used.
var ErrDurableWaiting = errors.New("router: too many durable events wait for the disk")

// ErrGone is returned by a log for an event that is no longer kept.
var ErrGone = errors.New("router: the event is no longer kept")

// ErrBrokerUnavailable is returned by Publish in a cluster whose broker is away. Nothing
// was delivered, unless it is ErrUnanswered.
var ErrBrokerUnavailable = errors.New("router: the broker of the cluster does not answer")

// ErrUnanswered is the ErrBrokerUnavailable of an event that the broker was given and did
// not answer for. It may have been delivered, or may be yet; with an idempotency key a
// second attempt is safe.
var ErrUnanswered = fmt.Errorf("%w for an event that it was given", ErrBrokerUnavailable)

// ErrPresenceFull is returned by Broker.Enter when as many users are in the channel as
// may be.
var ErrPresenceFull = errors.New("router: the presence channel is full")

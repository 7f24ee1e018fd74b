package router

import "errors"

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

package router

import "errors"

// ErrBusy is returned by Publish when a loop that would have to deliver the event
// is too far behind. Nothing was delivered; the caller may try again in a second.
var ErrBusy = errors.New("router: a loop has too many events under way")

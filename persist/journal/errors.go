package journal

import "errors"

// ErrSealed is returned by Append after a sync failed and no new part could be
// made. Sync tries again to make one.
var ErrSealed = errors.New("journal: the part is sealed after a failed sync")

// ErrFull is returned by Append when more waits for a sync than may be kept in
// memory, or the part has reached the size that a frame can speak of.
var ErrFull = errors.New("journal: too much is not synced yet")

// ErrTooLarge is returned by Append for a group over MaxGroup.
var ErrTooLarge = errors.New("journal: group is too large")

// ErrClosed is returned after Close.
var ErrClosed = errors.New("journal: closed")

// errBadHeader: a part whose first bytes are not a header of this version, or not
// that of its name.
var errBadHeader = errors.New("no valid part header")

// errMissing: the number of a part between others, which is not there.
var errMissing = errors.New("the part is missing")

// errShort: a part that ends before the bytes that the next part says it had.
var errShort = errors.New("the part is shorter than it was")

// errBadFrame: bytes that are no frame where one had been written.
var errBadFrame = errors.New("no valid frame where one was written")

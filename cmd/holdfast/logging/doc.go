// Package logging is the handler behind every slog.Logger of the process.
//
// What: one line a record to stderr, JSON or text. Fields, by name: time,
// level, msg, app, conn, remote, listener, code, reason, channel, limit,
// actual, knob, err, dur_ms, and count on the record that closes a sampled
// window. Strings are made harmless here and not by the callers, so that none
// can forget: what cannot be printed is escaped, and all but msg, knob and
// err are cut at 128 bytes.
//
// Who owns it: the Sampler has a lock and any goroutine may log. Its windows
// are ended by one goroutine of serve, which calls Sweep; no message has a
// goroutine or a timer of its own.
//
// What it holds: per message that was seen in the last ten seconds one entry
// of about 150 bytes, at most 1,024 of them. It reads no clock but the one it
// is given.
//
// What it refuses: a sixth record of one message within ten seconds is not
// written but counted.
package logging

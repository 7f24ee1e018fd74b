package frame

import (
	"strconv"
	"strings"
)

// CloseReason says why a connection ends. It is the only place where a close
// code is chosen: code for the peer, text for its developer, label for the
// metric. It is an error so that a parser or a session can return it.
type CloseReason struct {
	// Code goes into the Close frame (RFC 6455 section 7.4).
	Code uint16
	// Text goes into the Close frame, cut at 123 bytes on a rune border.
	Text string
	// Label names the reason in metrics and logs; the set is closed.
	Label string
}

// Error implements error.
func (r CloseReason) Error() string {
	var b strings.Builder
	b.WriteString("close ")
	b.WriteString(strconv.Itoa(int(r.Code)))
	b.WriteString(" (")
	b.WriteString(r.Label)
	b.WriteString(")")
	if r.Text != "" {
		b.WriteString(": ")
		b.WriteString(r.Text)
	}
	return b.String()
}

// With is the same reason with a more exact text; code and label stay.
func (r CloseReason) With(text string) CloseReason {
	r.Text = text
	return r
}

// The code decides what a Pusher client library does next: on 4000-4099 and from
// 4300 on it gives up for good, on 4100-4199 it retries after a second, on
// 4200-4299 at once, on any other after a second. Codes from 4000 on are preceded
// by a pusher:error event of the same code.
var (
	UnknownApp         = CloseReason{4001, "app key does not exist", "unknown_app"}
	AppDisabled        = CloseReason{4003, "app is disabled", "app_disabled"}
	BadPath            = CloseReason{4005, "path not found: connect to /app/{key}", "bad_path"}
	BadVersion         = CloseReason{4006, "protocol version is not a number", "bad_version"}
	UnsupportedVersion = CloseReason{4007, "protocol version is not supported: 5, 6 and 7 are", "unsupported_version"}
	OriginRefused      = CloseReason{4009, "origin is not allowed (apps.allowed_origins)", "origin"}
	Terminated         = CloseReason{4009, "connection terminated by the application", "terminated"}
	OverCapacity       = CloseReason{4100, "over capacity", "over_capacity"}
	Slow               = CloseReason{4100, "reads too slowly: unsent output is over limits.queue_bytes or limits.queue_messages", "slow"}
	Drain              = CloseReason{4200, "server is going away, reconnect", "drain"}
	NoPong             = CloseReason{4201, "pong not received in time", "no_pong"}

	ProtocolError = CloseReason{1002, "WebSocket protocol error", "protocol"}
	BinaryRefused = CloseReason{1003, "binary messages are not accepted", "binary"}
	BadUTF8       = CloseReason{1007, "text is not valid UTF-8", "utf8"}
	RateLimited   = CloseReason{1008, "rate limit exceeded", "rate"}
	MessageTooBig = CloseReason{1009, "message is too big", "too_big"}
	Internal      = CloseReason{1011, "internal error", "internal"}
)

// Ends that this server did not choose. Code 1006 is never sent; a PeerClosed
// that answers a Close frame carries the peer's own code instead (RFC 6455
// section 5.5.1).
var (
	PeerClosed       = CloseReason{codeAbnormal, "connection ended without a close frame", "peer_closed"}
	PeerReset        = CloseReason{codeAbnormal, "connection reset", "peer_reset"}
	HandshakeTimeout = CloseReason{codeAbnormal, "handshake not complete in time", "handshake_timeout"}
)

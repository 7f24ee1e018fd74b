package bench

import (
	"errors"
	"fmt"
)

var (
	// ErrUsage: the parameters cannot be used. The text names the flag.
	ErrUsage = errors.New("bench: parameters")
	// ErrRefused: this host cannot hold what was asked for. The text says what to do.
	ErrRefused = errors.New("bench: refused")
	// ErrChild: a further process did not do its share.
	ErrChild = errors.New("bench: a further process failed")
)

// What a server sent that ends its connection. The texts are the keys under which
// failures are counted.
var (
	errTooBig    = errors.New("frame above 1 MiB")
	errMasked    = errors.New("masked frame from the server")
	errReserved  = errors.New("frame with reserved bits")
	errOpcode    = errors.New("frame with an unknown opcode")
	errControl   = errors.New("fragmented or long control frame")
	errLength    = errors.New("frame with a length that is not minimal")
	errFragments = errors.New("fragments out of turn")
	errBinary    = errors.New("binary message")
	errEnvelope  = errors.New("message that is no JSON object")
	errGreeting  = errors.New("no pusher:connection_established")
	errHead      = errors.New("handshake: answer is not HTTP or above 16 KiB")
	errAccept    = errors.New("handshake: wrong Sec-WebSocket-Accept")
	errUpgrade   = errors.New("handshake: 101 without an upgrade to websocket")
	errExtension = errors.New("handshake: extension or subprotocol that was not asked for")
)

// fault is an error whose text needs no prefix: it goes to whoever typed the flags.
type fault struct {
	kind error
	text string
}

func (f fault) Error() string { return f.text }
func (f fault) Unwrap() error { return f.kind }

// usage is a fault of the parameters.
func usage(format string, args ...any) error { return fault{ErrUsage, fmt.Sprintf(format, args...)} }

package netio

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/netio/wheel"
)

// Config is what the transport needs to know at start. All fields are required
// unless their comment says otherwise.
type Config struct {
	Listen      []string // host:port or unix:/path
	PathPrefix  string   // "" or "/ws": stripped before the handler sees a path
	Loops       int      // event loops, 1 to 256
	Compression bool     // negotiate permessage-deflate
	EchoPath    string   // "" = off. A plain echo for conformance tools, see echo.go

	Limits    Limits
	Admission Admission

	// Descriptors is how many descriptor numbers the tables are made for (address
	// space, not memory), 64 to 2^30; at most RLIMIT_NOFILE. A socket with a higher
	// number is closed at once, and admission sees to it that there is none.
	Descriptors uint64
	// InboxCommands bounds the commands that wait for one loop; Post refuses beyond.
	InboxCommands int
	// Conversations bounds the plain HTTP conversations served at a time; more wait.
	Conversations int

	// Streams claims plain GET requests, by their path, that the session answers itself
	// (Handler.OpenStream). nil = none.
	Streams func(path []byte) bool
	// Farewell encodes the pusher:error frame that precedes a close of the
	// transport's own with a code from 4000 on. Pure; called on loops.
	Farewell func(frame.CloseReason) []byte
	// ServeHTTP serves one plain HTTP keep-alive conversation; it may block.
	ServeHTTP func(net.Conn) error
	// SessionBytes returns the handler side's bytes for the connection_bytes
	// metric: fixed state a connection, and membership in total. nil = not known.
	SessionBytes func() (perConn, membership float64)

	Log *slog.Logger
}

// maxListeners bounds the listen addresses: each has its own counters on every loop.
const maxListeners = 8

// Limits are the bounds on what comes from outside (wire.md's table of limits);
// SetLimits replaces them while the server runs.
type Limits struct {
	HandshakeTimeout time.Duration // accept to 101 or first HTTP head
	RequestLineBytes int
	HeadBytes        int
	HeadCount        int           // header fields of one head
	MessageBytes     int           // one inbound message, reassembled and inflated
	Fragments        int           // frames of one message
	MessageTime      time.Duration // first to last fragment
	BodyBytes        int64         // request body of a plain HTTP request
	QueueBytes       int           // unsent bytes a connection
	QueueMessages    int           // unsent messages a connection
	ActivityTimeout  time.Duration // advertised, less a spread of up to 1/12 a connection
	PingGrace        time.Duration // silence beyond the advertised value before a ping
	PongTimeout      time.Duration // then the connection is closed with 4201
}

// Admission says what is accepted at all.
type Admission struct {
	MaxConnections int    // sockets of all kinds; 0, and at most: Descriptors − 512
	AcceptRate     int    // a second, burst = rate
	HalfOpenPerIP  int    // sockets of one address before their 101; 0 = off
	MemoryBytes    uint64 // resident size, with 4 KiB of kernel memory a socket, above which accepting pauses; 0 = off
}

// Validate returns all faults, joined.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("netio: "+format, args...))
		}
	}
	need(len(c.Listen) > 0 && len(c.Listen) <= maxListeners, "%d listen addresses, want 1 to %d", len(c.Listen), maxListeners)
	need(c.Loops >= 1 && c.Loops <= 256, "loops = %d, want 1 to 256", c.Loops)
	need(c.Descriptors >= 64 && c.Descriptors <= 1<<30, "%d descriptors, want 64 to 2^30", c.Descriptors)
	need(c.InboxCommands > 0, "inbox bound must be positive")
	need(c.Conversations > 0, "conversation bound must be positive")
	need(c.Farewell != nil && c.ServeHTTP != nil && c.Log != nil, "Farewell, ServeHTTP and Log are required")
	need(c.Admission.AcceptRate > 0, "accept rate must be positive")
	need(c.Limits.MessageBytes > 0 && c.Limits.QueueBytes > 0 && c.Limits.QueueMessages > 0, "limits must be positive")
	return errors.Join(faults...)
}

// limitSet is Limits in the units that loops compare with.
type limitSet struct {
	handshake, message, grace, pong wheel.Tick
	activity                        uint32 // seconds
	frame                           frame.Limits
	head                            frame.HeadLimits
	door                            doorLimits
	queueBytes, queueMessages       int
}

func (l Limits) set() *limitSet {
	head := frame.HeadLimits{LineBytes: l.RequestLineBytes, HeadBytes: l.HeadBytes, Count: l.HeadCount}
	return &limitSet{
		handshake: atLeast(l.HandshakeTimeout), message: atLeast(l.MessageTime),
		grace: atLeast(l.PingGrace), pong: atLeast(l.PongTimeout),
		activity:   uint32(seconds(l.ActivityTimeout)),
		frame:      frame.Limits{MessageBytes: l.MessageBytes, Fragments: l.Fragments},
		head:       head,
		door:       doorLimits{HeadTimeout: l.HandshakeTimeout, Head: head, Body: l.BodyBytes},
		queueBytes: l.QueueBytes, queueMessages: l.QueueMessages,
	}
}

package bench

// connState is the life of one connection. An attempt moves down from connecting;
// what follows its end is said at each state.
type connState uint8

const (
	// stateNew: not opened in this wave.
	stateNew connState = iota
	// stateWaiting: will be opened again at deadline. No socket.
	stateWaiting
	// stateConnecting: connect(2) is under way.
	stateConnecting
	// stateUpgrading: the request is sent, the 101 has not come.
	stateUpgrading
	// stateGreeting: waiting for pusher:connection_established.
	stateGreeting
	// stateSubscribing: waiting for the rest of the successes.
	stateSubscribing
	// stateSubscribed: events count.
	stateSubscribed
	// stateLeaving: of churn: waits until deadline for events that were answered before it decided to go.
	stateLeaving
	// stateClosing: of churn: our Close frame is sent; waits until deadline for the server to end.
	stateClosing
	// stateEnded: failed or lost, and not to be opened again in this wave. No socket.
	stateEnded
)

// stageNames say what a connection was doing, by state.
var stageNames = [...]string{"", "", "connect", "handshake", "greeting", "subscribe", "subscribed", "leaving", "closing", ""}

func (s connState) underWay() bool  { return s >= stateConnecting && s <= stateSubscribing }
func (s connState) connected() bool { return s >= stateSubscribed && s <= stateClosing }

// conn is one connection: 56 bytes, without pointers; owned by its loop, which
// knows it by its number within the loop's share. Times in ms count from the
// loop's start and wrap after 49 days.
type conn struct {
	began    int64  // ns: when this attempt was due
	fd       int32  // of states with a socket
	heard    uint32 // ms: the last bytes of the server
	deadline uint32 // ms: see the states; of stateSubscribed and churn: when it leaves
	in       uint32 // held: an incomplete frame, or answer to the handshake
	message  uint32 // held: payloads of an incomplete message
	out      uint32 // held: what the kernel did not take
	mark     uint32 // of stateLeaving: events up to it must come
	missing  uint32 // subscriptions not confirmed
	activity uint16 // s: activity_timeout
	gen      uint16 // changes with each attempt; epoll events of another one are stale
	state    connState
	pinged   bool // pusher:ping is sent and nothing has come since
	parts    bool // message holds the first frames of a message
}

package frame

import "net/netip"

// Upgrade is what the transport tells the session about a new connection.
type Upgrade struct {
	// Path is the request's path after path_prefix was removed, nil when it does
	// not carry the prefix. Path, RawQuery and Origin borrow the request's bytes
	// until the call that hands them over returns.
	Path, RawQuery, Origin []byte

	// Remote is the peer's address; invalid for a unix socket.
	Remote netip.AddrPort

	// Loop, Slot and Gen name the connection across goroutines. Gen is never 0.
	Loop      int
	Slot, Gen uint32

	// ActivitySeconds is the activity_timeout to advertise to this connection.
	ActivitySeconds int

	// Deflate tells that permessage-deflate was negotiated.
	Deflate bool
}

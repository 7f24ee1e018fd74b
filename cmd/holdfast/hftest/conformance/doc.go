// Package conformance holds a table of WebSocket conversations, with what RFC
// 6455 and RFC 7692 ask a server to answer, and runs it against an echo endpoint
// over real sockets: every case is sent at once, in chunks of random sizes, and,
// where it is short, byte by byte.
//
// Sections follow the RFC: framing, pings, reserved bits, opcodes, fragmentation,
// UTF-8, close handling, limits, compression, and the opening handshake. A case is
// what the client sends and what must come back; the runner prints counts by
// section.
//
// It owns nothing but its own sockets and needs no server of a particular make,
// only an echo path that takes messages of 16 MiB.
package conformance

// Package pusher reads and writes the JSON messages of the Pusher channels
// protocol, and knows what names of channels and events mean.
//
// It is pure: no sockets, no goroutines, no clock. A Decoder is owned by one loop
// and lends out what it read until its next call; all other functions may be
// called from anywhere. Encoders append to the caller's slice.
//
// Inbound bytes are one JSON text, already known to be valid UTF-8. The scanner
// takes exactly what RFC 8259 takes, nested at most 64 deep, and allocates
// nothing. channel_data and user_data, which become other people's input, are read
// by a stricter parser that also refuses duplicate names and bad UTF-8.
//
// It refuses malformed messages with ErrMalformed and never tells why: the client
// is told "Invalid message format" and keeps its connection. Refusals of names,
// channel_data and user_data are sentences meant for the client.
package pusher

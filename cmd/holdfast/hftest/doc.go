// Package hftest starts the real program and speaks to it as its users do: a
// server process on free loopback ports, a raw WebSocket client with the verbs
// of a script, and signed calls of the HTTP API.
//
// An Edge owns one process, and ends it with the test that started it. A Conn
// owns one socket; it is used by one goroutine at a time. Signatures and frames
// are made here anew and not with the packages under test, so that a mistake
// there cannot hide.
//
// Every wait has a deadline and ends the test with what came instead. Nothing
// here sleeps to let something happen.
//
// The folder js holds the same for the stock JavaScript clients.
package hftest

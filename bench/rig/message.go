package main

import (
	"bytes"
	"fmt"
)

// One published message, as it travels to a subscriber:
//
//	{"event":"bench","channel":"bench","data":"0000000041xxxxxxxx"}
//	                                           |number    |padding
//
// The number is ten digits. The floor gets this text as it is; a Pusher server gets event, channel and data apart and
// must produce the same bytes.
const (
	benchEvent   = "bench"
	benchChannel = "bench"
	numberDigits = 10
)

var messagePrefix = []byte(`{"event":"` + benchEvent + `","channel":"` + benchChannel + `","data":"`)

// messageShape is how long the messages of one run are.
type messageShape struct{ padding []byte }

// appendData appends the data string of one message.
func (m messageShape) appendData(dst []byte, number int) []byte {
	dst = fmt.Appendf(dst, "%0*d", numberDigits, number)
	return append(dst, m.padding...)
}

// appendText appends the whole message text.
func (m messageShape) appendText(dst []byte, number int) []byte {
	dst = append(dst, messagePrefix...)
	dst = m.appendData(dst, number)
	return append(dst, `"}`...)
}

// sized is the shape whose frame has frameBytes on the wire, when the server's frame of the shape without padding has
// bareBytes. Frames between 126 and 65,535 bytes of payload have two more bytes of header than shorter ones.
func sized(frameBytes, bareBytes int) messageShape {
	pad := frameBytes - bareBytes
	if bareBytes < 2+126 && frameBytes >= 4+126 {
		pad -= 2
	}
	return messageShape{padding: bytes.Repeat([]byte{'x'}, max(pad, 0))}
}

// messageNumber reads the number of a message; ok is false when the text is another event.
func messageNumber(text []byte) (number int, ok bool) {
	at := len(messagePrefix)
	if len(text) < at+numberDigits || !bytes.Equal(text[:at], messagePrefix) {
		return 0, false
	}
	for _, d := range text[at : at+numberDigits] {
		if d < '0' || d > '9' {
			return 0, false
		}
		number = number*10 + int(d-'0')
	}
	return number, true
}

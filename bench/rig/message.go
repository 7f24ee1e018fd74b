package main

import (
	"bytes"
	"fmt"
)

// One published message, as it travels to a subscriber:
//
//	{"event":"bench","channel":"bench","data":"0000000041xxxxxxxx","seq":42}
//	                                           |number    |padding |from a server that numbers events
//
// The number is ten digits. A Pusher server gets event, channel and data apart and must produce the same bytes; the
// floor gets the whole text, with a seq as a server with history would add it. The rig numbers the messages of a channel
// from 0 without a gap, so on a channel with history seq is number + 1, and the padding shrinks as its digits grow:
// every frame of a run has the same size, and the floor's have the size of the others'.
const (
	benchEvent   = "bench"
	benchChannel = "bench"
	numberDigits = 10
)

var messagePrefix = prefixOf(benchChannel)

// prefixOf is the text of a message up to its number.
func prefixOf(channel string) []byte {
	return []byte(`{"event":"` + benchEvent + `","channel":"` + channel + `","data":"`)
}

// messageShape is what the messages of one run are like.
type messageShape struct {
	channel string   // "": benchChannel
	more    []string // further channels of the same publish; Pusher servers only
	padding []byte   // of message 0
	seq     bool     // the subscribers get a seq
	durable bool     // a publish is answered when the message is on the disk
}

func (m messageShape) channelName() string {
	if m.channel == "" {
		return benchChannel
	}
	return m.channel
}

// appendData appends the data string of one message.
func (m messageShape) appendData(dst []byte, number int) []byte {
	dst = fmt.Appendf(dst, "%0*d", numberDigits, number)
	pad := len(m.padding)
	if m.seq {
		for n := number + 1; n >= 10 && pad > 0; n /= 10 {
			pad--
		}
	}
	return append(dst, m.padding[:pad]...)
}

// appendText appends the whole message text, as subscribers get it.
func (m messageShape) appendText(dst []byte, number int) []byte {
	if m.channel == "" {
		dst = append(dst, messagePrefix...)
	} else {
		dst = append(dst, prefixOf(m.channel)...)
	}
	dst = append(m.appendData(dst, number), '"')
	if m.seq {
		dst = fmt.Appendf(dst, `,"seq":%d`, number+1)
	}
	return append(dst, '}')
}

// sized is the padding whose frame has frameBytes on the wire, when the server's frame without padding has bareBytes.
// Frames between 126 and 65,535 bytes of payload have two more bytes of header than shorter ones.
func sized(frameBytes, bareBytes int) []byte {
	pad := frameBytes - bareBytes
	if bareBytes < 2+126 && frameBytes >= 4+126 {
		pad -= 2
	}
	return bytes.Repeat([]byte{'x'}, max(pad, 0))
}

// messageNumber reads the number of a message that begins with prefix; ok is false when the text is another event.
func messageNumber(prefix, text []byte) (number int, ok bool) {
	at := len(prefix)
	if len(text) < at+numberDigits || !bytes.Equal(text[:at], prefix) {
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

// messageSeq reads the seq at the end of a message; ok is false when it has none.
func messageSeq(text []byte) (seq uint64, ok bool) {
	at := bytes.LastIndex(text, []byte(`,"seq":`))
	if at < 0 || text[len(text)-1] != '}' {
		return 0, false
	}
	digits := text[at+len(`,"seq":`) : len(text)-1]
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		seq = seq*10 + uint64(d-'0')
	}
	return seq, len(digits) > 0
}

package bench

import (
	"bytes"
	"strconv"
)

// role is what a connection does once it is subscribed.
type role uint8

const (
	// roleEvents: stays, on a channel that gets events.
	roleEvents role = iota
	// roleIdle: stays, on a channel that gets none.
	roleIdle
	// roleChurn: as roleEvents, but leaves after some seconds and comes back.
	roleChurn
)

// plan says which channels a connection subscribes to. Pure; connections are
// numbered over all processes.
//
// Up to as many channels as connections, connection i is on channel i mod channels.
// With more, each is on several: i, i + connections, i + 2 connections …
// In a mixed crowd the roles alternate within each hundred connections, and idle
// ones are on channels of their own, numbered behind those that get events.
type plan struct {
	connections int
	channels    int // that get events; 0: nobody subscribes
	prefix      []byte
	mixed       bool
	idle, churn int // per cent of a mixed crowd
}

// slots is the largest number of channels a connection subscribes to.
func (p *plan) slots() int {
	switch {
	case p.channels == 0:
		return 0
	case p.mixed:
		return 1
	}
	return (p.channels + p.connections - 1) / p.connections
}

func (p *plan) role(i int) role {
	if !p.mixed {
		return roleEvents
	}
	switch at := i % 100; {
	case at < p.idle:
		return roleIdle
	case at < 100-p.churn:
		return roleEvents
	}
	return roleChurn
}

// rank numbers a mixed crowd's idle connections, and the others, each from 0.
func (p *plan) rank(i int) int {
	if at := i % 100; at >= p.idle {
		return i/100*(100-p.idle) + at - p.idle
	}
	return i/100*p.idle + i%100
}

// channel is the channel of a slot of connection i; ok is false when that
// connection has fewer.
func (p *plan) channel(i, slot int) (channel int, ok bool) {
	switch {
	case slot >= p.slots():
		return 0, false
	case p.mixed && p.role(i) == roleIdle:
		return p.channels + p.rank(i)%p.channels, true
	case p.mixed:
		return p.rank(i) % p.channels, true
	case p.channels <= p.connections:
		return i % p.channels, true
	}
	channel = i + slot*p.connections
	return channel, channel < p.channels
}

// slot is the reverse of channel: ok is false when i is not on that channel.
func (p *plan) slot(i, channel int) (slot int, ok bool) {
	if !p.mixed && p.channels > p.connections {
		slot = channel / p.connections
	}
	at, ok := p.channel(i, slot)
	return slot, ok && at == channel
}

// appendName appends the name of a channel.
func (p *plan) appendName(dst []byte, channel int) []byte {
	return strconv.AppendInt(append(dst, p.prefix...), int64(channel), 10)
}

// number reads the name of a channel.
func (p *plan) number(name []byte) (channel int, ok bool) {
	digits, ok := bytes.CutPrefix(name, p.prefix)
	if !ok || len(digits) == 0 || len(digits) > 9 {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		channel = channel*10 + int(d-'0')
	}
	return channel, true
}

// share is a range of connections, [from, to).
type share struct{ from, to int }

func (s share) len() int { return s.to - s.from }

// part is the k-th of n nearly equal parts of s.
func (s share) part(k, n int) share {
	return share{s.from + s.len()*k/n, s.from + s.len()*(k+1)/n}
}

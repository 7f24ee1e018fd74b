package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/frame"
)

// peerState is the life of a peer. It only moves down this list.
type peerState uint8

const (
	// peerConnecting: connect(2) is under way.
	peerConnecting peerState = iota
	// peerUpgrading: the request, or the half of it that is to be sent, has been sent; the 101 has not come.
	peerUpgrading
	// peerGreeting: waiting for pusher:connection_established.
	peerGreeting
	// peerSubscribing: pusher:subscribe is sent.
	peerSubscribing
	// peerReady: subscribed.
	peerReady
	// peerEnded: the socket is closed and the books were told.
	peerEnded
)

const (
	peerHead  = 512      // bytes of a long message that are kept
	peerWhole = 32 << 10 // longer messages are not kept whole
	maxFrame  = 16 << 20 // what a server may announce
)

// peer is one client socket that does what a subscriber of the crowd never does: it signs its subscription, sends
// messages of any size, stops reading, and ends in every way that there is. Owned by the goroutine of its peers.
type peer struct {
	fd     int
	number int
	state  peerState

	// What the experiment sets, at any time.
	deaf bool // it neither reads nor answers from now on; the end of the connection is noticed
	half bool // it sends the first half of the handshake's request and nothing more

	channel  string // it subscribes to; "": none
	socketID string

	in   []byte // of an incomplete frame; of a long one the head
	skip int    // bytes of that long frame that have not come
	size int    // of its payload
	out  []byte // what the kernel did not take of a message's head
	tail []byte // and of its rest; shared with other peers, never written to
}

// channelAuth is the auth member of a subscription to a private channel.
func channelAuth(socketID, channel string) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	fmt.Fprintf(mac, "%s:%s", socketID, channel)
	return appKey + ":" + hex.EncodeToString(mac.Sum(nil))
}

// send writes a message, whose rest may be shared. The caller waits until sent before the next one.
func (p *peer) send(head, tail []byte) error {
	if !p.sent() {
		return fmt.Errorf("peer %d: the message before is not sent yet", p.number)
	}
	p.out, p.tail = append(p.out[:0], head...), tail
	return p.flush()
}

func (p *peer) sent() bool { return len(p.out)+len(p.tail) == 0 }

// flush writes what the kernel takes.
func (p *peer) flush() error {
	for !p.sent() {
		from := &p.out
		if len(p.out) == 0 {
			from = &p.tail
		}
		n, err := unix.Write(p.fd, *from)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		*from = (*from)[n:]
	}
	p.out, p.tail = p.out[:0], nil
	return nil
}

// say sends one small text message behind whatever is being sent.
func (p *peer) say(op byte, text []byte) error {
	if len(p.tail) > 0 {
		return nil // only answers to pings get here: the sender of a long message shows that it lives by that
	}
	p.out = appendMasked(p.out, op, text)
	return p.flush()
}

// input handles what one read brought. on is called for each message; payload holds peerHead bytes of a long one.
func (p *peer) input(b []byte, h *handshake, on func(op byte, payload []byte, size int) error) error {
	if p.state == peerUpgrading {
		p.in = append(p.in, b...)
		rest, done, err := h.answered(p.in)
		if err != nil || !done {
			return err
		}
		p.state, b, p.in = peerGreeting, rest, nil
	}
	for p.state != peerEnded {
		if p.skip > 0 {
			n := min(p.skip, len(b))
			p.skip, b = p.skip-n, b[n:]
			if p.skip > 0 {
				return nil
			}
			head := p.in
			p.in = nil
			if err := on(opText, head, p.size); err != nil {
				return err
			}
			continue
		}
		if len(p.in) > 0 {
			b, p.in = append(p.in, b...), nil
		}
		op, head, size, err := frameHead(b, maxFrame)
		if err != nil {
			return err
		}
		if head > 0 && size > peerWhole && len(b) >= head+peerHead {
			if op != opText {
				return fmt.Errorf("%w: opcode %#x of %d bytes", errFrame, op, size)
			}
			p.in, p.size, p.skip = append([]byte(nil), b[head:head+peerHead]...), size, size-peerHead
			b = b[head+peerHead:]
			continue
		}
		if head == 0 || size > peerWhole || len(b) < head+size {
			if len(b) > 0 {
				p.in = append([]byte(nil), b...)
			}
			return nil
		}
		if err := on(op, b[head:head+size], size); err != nil {
			return err
		}
		b = b[head+size:]
	}
	return nil
}

// eventName is the name at the start of a server's message.
func eventName(text []byte) string {
	name, _, _ := bytes.Cut(bytes.TrimPrefix(text, []byte(`{"event":"`)), []byte(`"`))
	return string(name)
}

// socketIDOf reads the socket id out of connection_established.
func socketIDOf(text []byte) (string, error) {
	var frame struct {
		Data string `json:"data"`
	}
	var data struct {
		SocketID string `json:"socket_id"`
	}
	if err := json.Unmarshal(text, &frame); err != nil {
		return "", fmt.Errorf("connection_established %.200q: %w", text, err)
	}
	if err := json.Unmarshal([]byte(frame.Data), &data); err != nil || data.SocketID == "" {
		return "", fmt.Errorf("connection_established %.200q: no socket id (%w)", text, err)
	}
	return data.SocketID, nil
}

// longMask is the masking key of messages that many peers send: a key of its own for each would need a copy for each.
var longMask = [4]byte{0x5a, 0xa5, 0x3c, 0xc3}

// clientEventHead is the first part of a masked frame that holds a client event: all before the data, of which there
// will be size bytes.
func clientEventHead(channel string, size int) (head []byte) {
	text := fmt.Appendf(nil, `{"event":"client-bench","channel":"%s","data":"`, channel)
	size += len(text) + len(eventEnd)
	head = frame.AppendClientHeader(head, frame.OpText, binary.LittleEndian.Uint32(longMask[:]), size)
	return appendLongMasked(head, text, 0)
}

// clientEventRest is what follows on clientEventHead. It is the same for all channels whose names have the same length.
func clientEventRest(channel string, data []byte) []byte {
	at := len(`{"event":"client-bench","channel":"","data":"`) + len(channel)
	return appendLongMasked(nil, append(data[:len(data):len(data)], eventEnd...), at)
}

// eventEnd follows the data of a client event.
const eventEnd = `"}`

// appendLongMasked appends b, which begins at a place in the frame's payload.
func appendLongMasked(dst, b []byte, at int) []byte {
	for i, one := range b {
		dst = append(dst, one^longMask[(at+i)&3])
	}
	return dst
}

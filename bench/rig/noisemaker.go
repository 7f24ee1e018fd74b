package main

import (
	"bytes"
	"context"
	"fmt"
)

const (
	noiseChannel = "private-noise-000"
	noiseBatch   = 128 // client events in one write
	noiseData    = 64  // bytes of each one's data
)

// noisemaker is a client that sends client events as fast as its socket takes them, and another one on the same channel
// that gets them. One that the server closes comes back at once. Owned by the goroutine of its peers.
type noisemaker struct {
	ps     *peers
	batch  []byte
	sender *peer // nil: has to be opened
	on     bool
	each   int64 // ns between two events; 0: as fast as the socket takes them
	next   int64 // when the next is due

	sent, relayed, refused, reconnects int
	reason                             string // why the first sender was closed
}

// newNoisemaker connects the one that listens, and the one that will send.
func newNoisemaker(ctx context.Context, srv *server) (*noisemaker, error) {
	ps, err := newPeers(ctx, srv)
	if err != nil {
		return nil, err
	}
	n := &noisemaker{ps: ps}
	one := append(clientEventHead(noiseChannel, noiseData), clientEventRest(noiseChannel, bytes.Repeat([]byte{'n'}, noiseData))...)
	n.batch = bytes.Repeat(one, noiseBatch)
	ready := 0
	ps.channel = func(int) string { return noiseChannel }
	ps.onReady = func(*peer) error { ready++; return nil }
	ps.onEvent = func(*peer, string, []byte, int) { n.relayed++ }
	ps.onError = func(*peer, []byte) { n.refused++ }
	ps.onEnd = func(p *peer, err error) {
		if n.reason == "" {
			n.reason = err.Error()
		}
		if p == n.sender {
			n.sender = nil
			n.reconnects++
		}
	}
	if _, err = ps.open(); err == nil {
		n.sender, err = ps.open()
	}
	if err == nil {
		err = ps.until(connectTimeout, "the noisy client", func() (bool, error) {
			if n.reason != "" {
				return false, fmt.Errorf("it was closed: %s", n.reason)
			}
			return ready == 2, nil
		})
	}
	if err != nil {
		ps.close()
		return nil, err
	}
	return n, nil
}

// turn sends what the socket takes. It never waits.
func (n *noisemaker) turn() error {
	if err := n.ps.turn(0); err != nil {
		return err
	}
	if !n.on {
		return nil
	}
	if n.sender == nil {
		p, err := n.ps.open()
		if err != nil {
			return err
		}
		n.sender = p
	}
	if p := n.sender; p.state == peerReady && p.sent() {
		batch := n.due()
		if batch == 0 {
			return nil
		}
		n.sent += batch
		if err := p.send(nil, n.batch[:batch*len(n.batch)/noiseBatch]); err != nil {
			n.ps.lose(p, err)
		}
	}
	return nil
}

// due is how many events may be sent now.
func (n *noisemaker) due() int {
	if n.each == 0 {
		return noiseBatch
	}
	now := n.ps.now()
	if now < n.next {
		return 0
	}
	n.next = max(n.next+n.each, now)
	return 1
}

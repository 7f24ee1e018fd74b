package bench

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/router/auth"
	"github.com/holdfast-edge/holdfast/tuning/offheap"
)

// crew is what all loops of a run have in common. Immutable.
type crew struct {
	params  Params
	target  *target
	sources []netip.Addr // of all processes
	board   *board
	run     runID
	clock   clock
	process int // of params.Processes
}

// newLoop makes the loop of a thread, with nothing open yet.
func (c *crew) newLoop(thread int) (*loop, error) {
	p := &c.params
	own := share{0, p.Connections}.part(c.process, p.Processes).part(thread, p.Threads)
	l := &loop{
		p: p, plan: p.plan(), share: own, board: c.board, slot: &c.board.slots[c.process*p.Threads+thread],
		script: script(p), run: c.run, clock: c.clock, start: c.clock.now(), at: -1,
		family: family(c.target.destinations[0]), rate: p.ConnectRate * float64(own.len()) / float64(p.Connections),
		concurrency: max(1, p.Concurrency/(p.Processes*p.Threads)),
		handshake:   newHandshake(c.target, p.AppKey, p.Origin, rand.Uint64()),
		in:          make([]byte, readBytes), events: make([]unix.EpollEvent, eventsAtOnce), tally: newTally(waves(p)),
	}
	l.slots = l.plan.slots()
	for _, at := range sourcesOf(c.sources, c.process, p.Processes) {
		l.sources = append(l.sources, sockaddr(at, 0))
	}
	for _, at := range c.target.destinations {
		l.destinations = append(l.destinations, sockaddr(at, c.target.port))
	}
	if strings.HasPrefix(p.ChannelPrefix, "private-") {
		l.sign = auth.NewCredentials(p.AppKey, p.AppSecret)
	}
	var err error
	if l.conns, err = offheap.NewTable[conn](own.len()); err != nil {
		return nil, err
	}
	if l.tracks, err = offheap.NewTable[track](own.len() * l.slots); err != nil {
		return nil, err
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("bench: epoll_create1: %w", err)
	}
	return l, nil
}

// waves is how often a scenario opens all connections.
func waves(p *Params) int {
	if p.Kind == Storm {
		return p.Rounds
	}
	return 1
}

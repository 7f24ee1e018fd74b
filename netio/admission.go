package netio

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// admission decides whether a socket may be taken off the kernel's queue at all.
// Waiting there is the cheapest refusal: it costs us nothing, and a client's
// connect is merely slow, where a refused one makes pusher-js wait 16 seconds.
type admission struct {
	// Immutable after newAdmission.
	now func() int64

	// Atomic; any goroutine.
	live    atomic.Int64 // sockets that loops own
	ceiling atomic.Int64 // most sockets of all kinds
	full    atomic.Bool  // the memory bound is reached

	mu       sync.Mutex
	cfg      Admission
	tokens   float64
	refilled int64                // monotonic ns of the last refill
	halfOpen map[netip.Addr]int32 // sockets before their 101, by address
}

func newAdmission(cfg Admission, ceiling int, now func() int64) *admission {
	a := &admission{now: now, cfg: cfg, tokens: float64(cfg.AcceptRate), refilled: now(), halfOpen: map[netip.Addr]int32{}}
	a.ceiling.Store(int64(ceiling))
	return a
}

// wait returns 0 when one more socket may be accepted, else how long to leave
// the queue alone. others counts the sockets that are not the loops'.
func (a *admission) wait(others int) time.Duration {
	if a.full.Load() || a.live.Load()+int64(others) >= a.ceiling.Load() {
		return 50 * time.Millisecond
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	rate := float64(a.cfg.AcceptRate)
	a.tokens = min(rate, a.tokens+float64(now-a.refilled)*rate/float64(time.Second))
	a.refilled = now
	if a.tokens < 1 {
		return max(time.Millisecond, time.Duration((1-a.tokens)/rate*float64(time.Second)))
	}
	return 0
}

// admit books one accepted socket; false means that its address has too many
// handshakes under way.
func (a *admission) admit(addr netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens--
	if addr.IsValid() && a.cfg.HalfOpenPerIP > 0 {
		if int(a.halfOpen[addr]) >= a.cfg.HalfOpenPerIP {
			return false
		}
		a.halfOpen[addr]++
	}
	a.live.Add(1)
	return true
}

// settled ends the half-open count of one socket.
func (a *admission) settled(addr netip.Addr) {
	if !addr.IsValid() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch n := a.halfOpen[addr]; {
	case n > 1:
		a.halfOpen[addr] = n - 1
	case n == 1:
		delete(a.halfOpen, addr)
	}
}

// entered and left count sockets that come to, and go from, the loops other than
// by accept.
func (a *admission) entered() { a.live.Add(1) }
func (a *admission) left()    { a.live.Add(-1) }

// lower sets the ceiling to what is open now: the kernel has refused to watch one
// more (fs.epoll.max_user_watches).
func (a *admission) lower() {
	if live := a.live.Load(); live < a.ceiling.Load() {
		a.ceiling.Store(max(1, live))
	}
}

// configure replaces the settings of a running server.
func (a *admission) configure(cfg Admission, ceiling int) {
	a.mu.Lock()
	a.cfg = cfg
	a.mu.Unlock()
	a.ceiling.Store(int64(ceiling))
}

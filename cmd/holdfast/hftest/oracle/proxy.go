package oracle

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// cut is how a connection through a proxy ends.
type cut uint8

const (
	cutReset  cut = iota // RST to both sides
	cutFinish            // FIN to both sides
	cutSilent            // nothing moves any more, and nobody is told
	cuts
)

func (c cut) String() string { return [...]string{"rst", "fin", "silent"}[c] }

// proxy stands between clients and the server and forwards, until it is told to cut
// a connection.
type proxy struct {
	// Immutable after newProxy.
	listener net.Listener
	server   string
	eats     func() bool // asked for each answer of the server: true loses it, and resets; nil = never

	mu    sync.Mutex
	links []*link   // guarded by mu: those that forward
	dead  []*link   // guarded by mu: silent ones, which stay open until the end
	count [cuts]int // guarded by mu
	work  sync.WaitGroup
}

// link is one connection.
type link struct {
	client, server *net.TCPConn
	silent         atomic.Bool
}

func newProxy(t testing.TB, server string, eats func() bool) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: server, eats: eats}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, k := range append(p.links, p.dead...) {
			k.close()
		}
		p.mu.Unlock()
		p.work.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		k := &link{client: client.(*net.TCPConn), server: server.(*net.TCPConn)} //nolint:forcetypeassert // both are tcp
		p.mu.Lock()
		p.links = append(p.links, k)
		p.mu.Unlock()
		p.work.Go(func() { p.forward(k, k.client, k.server) })
		p.work.Go(func() { p.forward(k, k.server, k.client) })
	}
}

// forward copies one direction until the link is cut or ends by itself.
func (p *proxy) forward(k *link, from, to *net.TCPConn) {
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		if k.silent.Load() {
			return // what was read is lost as on a line that was cut
		}
		if n > 0 && from == k.server && p.eats != nil && p.eats() {
			p.cut(k, cutReset)
			return
		}
		if n > 0 {
			if _, werr := to.Write(b[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			p.forget(k)
			k.close()
			return
		}
	}
}

func (p *proxy) forget(k *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.links {
		if p.links[i] == k {
			p.links[i] = p.links[len(p.links)-1]
			p.links = p.links[:len(p.links)-1]
			return
		}
	}
}

// cutOne cuts one of the connections, if there is any.
func (p *proxy) cutOne(r *rand.Rand, how cut) {
	p.mu.Lock()
	if len(p.links) == 0 {
		p.mu.Unlock()
		return
	}
	k := p.links[r.IntN(len(p.links))]
	p.mu.Unlock()
	p.cut(k, how)
}

func (p *proxy) cut(k *link, how cut) {
	p.forget(k)
	p.mu.Lock()
	p.count[how]++
	p.mu.Unlock()
	switch how {
	case cutReset:
		_ = k.client.SetLinger(0)
		_ = k.server.SetLinger(0)
		k.close()
	case cutFinish:
		_ = k.client.CloseWrite()
		_ = k.server.CloseWrite()
	case cutSilent:
		k.silent.Store(true)
		p.mu.Lock()
		p.dead = append(p.dead, k)
		p.mu.Unlock()
	}
}

func (k *link) close() {
	k.client.Close()
	k.server.Close()
}

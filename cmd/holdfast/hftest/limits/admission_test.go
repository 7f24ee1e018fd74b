package limits

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// Over what admission lets in nobody is refused: the kernel's queue waits.
func TestLimitAdmission(t *testing.T) {
	t.Run("accept_rate", testAcceptRate)
	t.Run("max_connections", testMaxConnections)
	t.Run("memory_bytes", testMemoryBytes)
}

func testAcceptRate(t *testing.T) {
	const rate, clients = 200, 500
	edge := hftest.Start(t, hftest.Options{Flags: set(fmt.Sprintf("admission.accept_rate=%d", rate))})
	crowd := accompany(t, edge)
	throttled := metric(edge, accepts(edge, "throttled"))
	crowd.beside("accept_rate", func() {
		begun := time.Now()
		var work sync.WaitGroup
		faults := make(chan error, clients)
		for range clients {
			work.Go(func() {
				s, err := join(edge, how{})
				if err == nil {
					s.close()
				}
				faults <- err
			})
		}
		work.Wait()
		close(faults)
		for err := range faults {
			if err != nil {
				t.Errorf("a client was refused: %v", err)
			}
		}
		if took, least := time.Since(begun), time.Duration(clients-rate)*time.Second/rate; took < least {
			t.Errorf("%d clients came in within %s, wanted %s at %d a second", clients, took, least, rate)
		}
	})
	grew(t, edge, accepts(edge, "throttled"), throttled, 1)
}

func testMaxConnections(t *testing.T) {
	const limit, clients = 160, 200
	edge := hftest.Start(t, hftest.Options{Flags: set(fmt.Sprintf("admission.max_connections=%d", limit))})
	crowd := accompany(t, edge)
	throttled := metric(edge, accepts(edge, "throttled"))
	if got := metric(edge, "connections_max "); got != limit {
		t.Errorf("connections_max is %v, wanted %d", got, limit)
	}
	crowd.beside("max_connections", func() {
		var served atomic.Int64
		within := make(chan *socket, clients)
		var work sync.WaitGroup
		defer work.Wait()
		for range clients {
			s, err := connect(edge, how{})
			if err != nil {
				t.Fatalf("the kernel's queue does not take it: %v", err)
			}
			defer s.close()
			if err := s.write([]byte(how{}.upgradeHead())); err != nil {
				t.Fatal(err)
			}
			work.Go(func() {
				if s.switched() == nil {
					served.Add(1)
					within <- s
				}
			})
		}
		full := func() bool {
			return metric(edge, "connections{") == limit && metric(edge, accepts(edge, "throttled")) > throttled
		}
		if !eventually(full) {
			t.Fatalf("%v sockets, limit %d", metric(edge, "connections{"), limit)
		}
		let := served.Load()
		time.Sleep(window / 2) // nobody else may come in meanwhile
		if now := served.Load(); now != let || now >= clients-20 || now == 0 {
			t.Errorf("%d of %d were served, then %d", let, clients, now)
		}
		patience := time.After(hftest.Patience)
		for left := range clients { // whoever goes makes room for one that waits
			select {
			case s := <-within:
				s.close()
			case <-patience:
				t.Fatalf("%d have left, and of those that waited %d were served", left, served.Load()-let)
			}
		}
	})
	grew(t, edge, accepts(edge, "throttled"), throttled, 1)
}

func testMemoryBytes(t *testing.T) {
	const a, ahead = 4096, 300 // kernel memory that a socket counts with; sockets until the bound
	file := filepath.Join(t.TempDir(), "holdfast.toml")
	bound := func(bytes int) {
		text := fmt.Sprintf("[admission]\nmemory_bytes = \"%dB\"\naccept_rate = 1000\n", bytes)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bound(1 << 30)
	// The collector's limit follows memory_bytes; the test's is meant for admission.
	edge := hftest.Start(t, hftest.Options{Flags: []string{"--config", file}, Env: []string{"GOMEMLIMIT=1GiB"}})
	crowd := accompany(t, edge)
	throttled := metric(edge, accepts(edge, "throttled"))
	ready := func() bool {
		r, err := client.Get("http://" + edge.AdminAddr + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.StatusCode == 200
	}
	crowd.beside("memory_bytes", func() {
		bound(resident(t, edge) + a*(int(metric(edge, "connections{"))+ahead))
		edge.Signal(syscall.SIGHUP)

		var held []*socket
		defer func() {
			for _, s := range held {
				s.close()
			}
		}()
		var waiting *socket
		for waiting == nil {
			s, err := connect(edge, how{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if err := s.write([]byte(how{}.upgradeHead())); err != nil {
				t.Fatal(err)
			}
			if _, err := s.peek(500 * time.Millisecond); err == nil {
				held = append(held, s)
			} else if metric(edge, accepts(edge, "throttled")) > throttled && !ready() {
				waiting = s
			}
			// The bound is looked at once a second, and 1,000 a second come in.
			if len(held) > ahead+5000 {
				t.Fatalf("%d connections, bound reached at %d", len(held), ahead)
			}
		}
		time.Sleep(window / 2) // it must not come in meanwhile
		if err := waiting.silent(); err != nil {
			t.Errorf("over the bound: %v", err)
		}
		bound(1 << 30)
		edge.Signal(syscall.SIGHUP)
		if err := errors.Join(waiting.switched(), waiting.established()); err != nil {
			t.Errorf("under the bound again: %v", err)
		}
	})
	if !ready() {
		t.Error("not ready under the bound")
	}
	grew(t, edge, accepts(edge, "throttled"), throttled, 1)
}

// peek waits for a first byte and leaves it.
func (s *socket) peek(patience time.Duration) ([]byte, error) {
	_ = s.nc.SetReadDeadline(time.Now().Add(patience))
	p, err := s.r.Peek(1)
	var timeout net.Error
	if err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
		return nil, fmt.Errorf("wanted an answer or none yet: %w", err)
	}
	return p, err
}

// An application that is full tells its page to try again, and which key is why.
func TestLimitAppConnections(t *testing.T) {
	const limit = 5
	small := app{id: "small", key: "small-key", secret: "small-secret"}
	edge := hftest.Start(t, hftest.Options{Config: demo.config("") + small.config(fmt.Sprintf("max_connections = %d", limit))})
	crowd := accompany(t, edge)
	reached := metric(edge, `rate_limited_total{scope="connections"}`)
	at := how{target: "/app/" + small.key + "?protocol=7"}
	crowd.beside("apps.max_connections", func() {
		var held []*socket
		for range limit {
			s, err := join(edge, at, "room")
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			held = append(held, s)
		}
		crowd.storm(4, func(int) error {
			s, err := upgrade(edge, at)
			if err != nil {
				return err
			}
			passed, err := s.wantClose(4100, ", limit 5 (apps.max_connections)") // 6 in all, or 7 when two come at once
			if err == nil && passed > 0 {
				err = fmt.Errorf("%d messages before the refusal", passed)
			}
			return err
		})
		for i, s := range held {
			if err := s.alive(); err != nil {
				t.Errorf("connection %d of those within the limit: %v", i, err)
			}
		}
		held[0].close()
		if !eventually(func() bool {
			s, err := join(edge, at, "room")
			if err == nil {
				s.close()
			}
			return err == nil
		}) {
			t.Error("one has gone and none comes in")
		}
	})
	grew(t, edge, `rate_limited_total{scope="connections"}`, reached, 4)
}

// Who has no business here is told so inside the WebSocket: 101, error, close.
func TestLimitOriginKeyApp(t *testing.T) {
	closed := app{id: "closed", key: "closed-key", secret: "closed-secret"}
	edge := hftest.Start(t, hftest.Options{Config: demo.config(`allowed_origins = ["https://a.example"]`) + closed.config("enabled = false")})
	crowd := accompany(t, edge)
	nobody := app{id: "nobody", key: "nobody-key", secret: "nobody-secret"}
	crowd.beside("allowed_origins, key, app", func() {
		crowd.storm(4, func(worker int) error {
			for _, c := range []struct {
				how
				code int
				text string
			}{
				{how{header: "Origin: https://evil.example\r\n"}, 4009, "apps.allowed_origins"},
				{how{header: "Origin: https://a.example.evil.example\r\n"}, 4009, "apps.allowed_origins"},
				{how{target: "/app/" + nobody.key}, 4001, ""},
				{how{target: "/app/" + closed.key}, 4003, ""},
			} {
				s, err := upgrade(edge, c.how)
				if err != nil {
					return err
				}
				passed, err := s.wantClose(c.code, c.text)
				if err == nil && passed > 0 {
					err = fmt.Errorf("%d messages before the refusal %d", passed, c.code)
				}
				if err != nil {
					return err
				}
			}
			r, err := nobody.post(edge, "/events", event("x", "{}", "a"))
			if err := refused(r, err, refusal{Code: "unknown_app", Status: 404}); err != nil {
				return err
			}
			r, err = closed.post(edge, "/events", event("x", "{}", "a"))
			return refused(r, err, refusal{Code: "app_disabled", Status: 403})
		})
		s, err := join(edge, how{header: "Origin: https://a.example\r\n"}, "room")
		if err != nil {
			t.Fatalf("the allowed origin: %v", err)
		}
		s.close()
	})
}

package limits

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// Heads that never end are cut off in time, however they are spread, and nobody
// who is merely slow.
func TestLimitHandshakeTimeout(t *testing.T) {
	t.Parallel()
	const limit, each = 2 * time.Second, 60
	edge := hftest.Start(t, hftest.Options{Flags: set("limits.handshake_timeout=2s")})
	crowd := accompany(t, edge)
	timeouts := metric(edge, `handshakes_total{result="timeout"}`)
	log := edge.Log()

	whole := how{}.upgradeHead()
	endless := "GET /app/app-key HTTP/1.1\r\nHost: edge\r\nX: "
	crowd.beside("handshake_timeout", func() {
		var work sync.WaitGroup
		faults := make(chan error, 5*each)
		for range each {
			for name, drip := range map[string]func(*socket) error{
				"nothing at all":         func(*socket) error { return nil },
				"all but the last byte":  func(s *socket) error { return s.write([]byte(whole[:len(whole)-1])) },
				"one byte each second":   func(s *socket) error { return s.drip(endless, time.Second) },
				"one byte each 10 ms":    func(s *socket) error { return s.drip(endless, 10*time.Millisecond) },
				"whole after 0.9 limits": nil,
			} {
				work.Go(func() {
					if drip == nil {
						faults <- slowButHonest(edge, whole, limit*9/10)
						return
					}
					if err := outlast(edge, limit, drip); err != nil {
						faults <- fmt.Errorf("%s: %w", name, err)
					}
				})
			}
		}
		work.Wait()
		close(faults)
		for err := range faults {
			if err != nil {
				t.Error(err)
			}
		}
	})
	grew(t, edge, `handshakes_total{result="timeout"}`, timeouts, 4*each)
	if said := strings.TrimPrefix(edge.Log(), log); said != "" {
		t.Errorf("a timeout is no news, and the log says %s", said)
	}
}

// drip sends a beginning and then a byte at a time, until the server has enough.
func (s *socket) drip(beginning string, pause time.Duration) error {
	if err := s.write([]byte(beginning)); err != nil {
		return err
	}
	go func() {
		for s.write([]byte("x")) == nil {
			time.Sleep(pause) // the client's pace is the attack
		}
	}()
	return nil
}

// outlast connects, does something and expects the end of the connection, not
// before the limit and not long after it.
func outlast(edge *hftest.Edge, limit time.Duration, do func(*socket) error) error {
	begun := time.Now()
	s, err := connect(edge, how{})
	if err != nil {
		return err
	}
	if err := do(s); err != nil {
		return err
	}
	if err := s.wantEnd(); err != nil {
		return err
	}
	if took := time.Since(begun); took < limit || took > limit+2*time.Second+slack {
		return fmt.Errorf("cut off after %s, limit %s", took, limit)
	}
	return nil
}

func slowButHonest(edge *hftest.Edge, head string, pause time.Duration) error {
	s, err := connect(edge, how{})
	if err != nil {
		return err
	}
	defer s.close()
	half := len(head) / 2
	if err := s.write([]byte(head[:half])); err != nil {
		return err
	}
	time.Sleep(pause) // within the limit, which the server's clock must not cut short
	if err := s.write([]byte(head[half:])); err != nil {
		return fmt.Errorf("slow but in time: %w", err)
	}
	if err := s.switched(); err != nil {
		return fmt.Errorf("slow but in time: %w", err)
	}
	return s.established()
}

// Heads over a limit are answered 431 with the key to raise, and the answer
// arrives although the client is still sending.
func TestLimitHead(t *testing.T) {
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	const mib = 1 << 20
	line := func(bytes int) string { // a request line of so many bytes
		return "GET /" + strings.Repeat("a", bytes-len("GET / HTTP/1.1")) + " HTTP/1.1\r\n"
	}
	const host = "Host: edge\r\n"
	field := func(bytes int) string { // a field with its CRLF
		return "X: " + strings.Repeat("b", bytes-len("X: \r\n")) + "\r\n"
	}
	up := "GET /up HTTP/1.1\r\n" + host
	tooLarge := refusal{Code: "head_too_large", Status: 431}
	lineOver, headOver, countOver := tooLarge, tooLarge, tooLarge
	lineOver.Knob, lineOver.Limit, lineOver.Actual = "limits.request_line_bytes", 4<<10, -1
	headOver.Knob, headOver.Limit, headOver.Actual = "limits.head_bytes", 8<<10, -1
	countOver.Knob, countOver.Limit, countOver.Actual = "limits.head_count", 64, -1

	cases := []struct {
		name, head string
		want       refusal // status 0: is served
	}{
		{"a line of 4 KiB", line(4<<10) + host + "\r\n", refusal{}},
		{"a line of 4 KiB and a byte", line(4<<10+1) + host + "\r\n", lineOver},
		{"a line of 1 MiB without an end", line(mib)[:mib-2], lineOver},
		{"fields of 8 KiB", up + field(8<<10-len(host)-len("\r\n")) + "\r\n", refusal{}},
		{"fields of 8 KiB and a byte", up + field(8<<10-len(host)-len("\r\n")+1) + "\r\n", headOver},
		{"fields of 1 MiB without an end", up + strings.Repeat(field(8000), 131), headOver},
		{"64 fields", up + strings.Repeat(field(16), 63) + "\r\n", refusal{}},
		{"65 fields", up + strings.Repeat(field(16), 64) + "\r\n", countOver},
		{"a second request", up + "\r\n" + up + field(mib), headOver},
		{"an upgrade", strings.TrimSuffix(how{}.upgradeHead(), "\r\n") + field(mib), headOver},
	}
	crowd.beside("request_line, head_bytes", func() {
		crowd.storm(4, func(int) error {
			for _, c := range cases {
				if err := playHead(edge, c.head, c.want); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			return nil
		})
	})
}

func playHead(edge *hftest.Edge, head string, want refusal) error {
	s, err := connect(edge, how{})
	if err != nil {
		return err
	}
	defer s.close()
	// A server that has heard enough may have closed before the last byte.
	sent := make(chan error, 1)
	go func() { sent <- s.write([]byte(head)) }()
	r, err := s.answer()
	if want.Status == 0 {
		if err != nil || r.Status == 431 {
			return fmt.Errorf("not served: %d %s, %v", r.Status, r.Body, err)
		}
		return <-sent
	}
	if err == nil && r.Status == 200 { // the first of two
		r, err = s.answer()
	}
	if err := refused(r, err, want); err != nil {
		return err
	}
	if r.Header.Get("Connection") != "close" {
		return fmt.Errorf("the answer does not announce the close: %v", r.Header)
	}
	return s.wantEnd()
}

// One address may not fill the table of handshakes; others do not notice.
func TestLimitHalfOpen(t *testing.T) {
	const limit, stranger = 64, "127.0.0.2"
	edge := hftest.Start(t, hftest.Options{Flags: set(fmt.Sprintf("admission.half_open_per_ip=%d", limit), "limits.handshake_timeout=60s")})
	crowd := accompany(t, edge)
	denied := metric(edge, accepts(edge, "denied"))
	crowd.beside("half_open_per_ip", func() {
		var held []*socket
		for range limit {
			s, err := connect(edge, how{from: stranger})
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			held = append(held, s)
		}
		if !eventually(func() bool { return metric(edge, `connections{state="accepted"}`) >= limit }) {
			t.Fatal("the handshakes are not under way")
		}
		crowd.storm(4, func(worker int) error {
			if worker == 0 { // another address is served meanwhile
				s, err := join(edge, how{}, "elsewhere")
				if err != nil {
					return fmt.Errorf("another address: %w", err)
				}
				s.close()
				return nil
			}
			s, err := connect(edge, how{from: stranger})
			if errors.Is(err, syscall.ECONNRESET) {
				return nil // closed before connect returned
			}
			if err != nil {
				return err
			}
			return s.wantEnd()
		})
		for _, s := range held {
			if err := s.silent(); err != nil {
				t.Fatalf("one that was there first: %v", err)
			}
		}
		// A handshake that ends makes room for the next.
		if err := held[0].write([]byte(how{}.upgradeHead())); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(held[0].switched(), held[0].established()); err != nil {
			t.Fatal(err)
		}
		s, err := join(edge, how{from: stranger}, "room")
		if err != nil {
			t.Fatalf("after one handshake has ended: %v", err)
		}
		s.close()
	})
	grew(t, edge, accepts(edge, "denied"), denied, 3)
}

// A body in front of a WebSocket, and the tail of a head behind a head, are no way
// around the limits: what follows a complete head is not read as one.
func TestLimitHeadHasNoBackDoor(t *testing.T) {
	edge := hftest.Start(t, hftest.Options{})
	s, err := connect(edge, how{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	head := how{}.upgradeHead()
	if err := s.write(appendFrame([]byte(head), fin|opText, bytes.Repeat([]byte("x"), 16<<10+1))); err != nil {
		t.Fatal(err)
	}
	if err := s.switched(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.wantClose(1009, "limits.message_bytes"); err != nil {
		t.Error(err)
	}
}

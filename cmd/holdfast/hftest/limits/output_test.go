package limits

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// Who does not read a channel without history is cut off once the server holds too
// much for it, and finds everything that was sent, in order, and the reason. On a
// channel with history it catches up by itself.
func TestLimitQueue(t *testing.T) {
	const queueBytes, queueMessages = 64 << 10, 256
	edge := hftest.Start(t, hftest.Options{
		Flags: set("limits.batch_events=1000"),
		Config: "[[history]]\nmatch = \"fat-*\"\nevents = 0\n" +
			"[[history]]\nmatch = \"*\"\nevents = 100000\nbytes = \"64MiB\"\n",
	})
	crowd := accompany(t, edge)
	for _, c := range []struct {
		limit       string
		size, batch int
	}{
		{"queue_bytes", 9 << 10, 10},
		{"queue_messages", 1, 500},
	} {
		channel := strings.ReplaceAll(c.limit, "_", "-")
		crowd.beside(c.limit, func() { unread(t, edge, "fat-"+channel, c.size, c.batch, queueBytes) })
		crowd.beside(c.limit+", kept", func() { readLate(t, edge, "kept-"+channel, c.size, c.batch, queueBytes) })
	}
}

// readLate publishes far more than the queues hold to readers that do not read yet,
// on a channel that keeps it all. Then they read, and miss nothing.
func readLate(t *testing.T, edge *hftest.Edge, channel string, size, batch, queueBytes int) {
	const slow, bytes, most = 6, 8 << 20, 20_000 // published bytes and events at most
	before := metric(edge, "slow_consumers_total{")
	var lazy []*socket
	for range slow {
		s, err := join(edge, how{receive: 4096}, channel)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		lazy = append(lazy, s)
	}
	n := 0
	for n*size < bytes && n < most {
		if err := taken(demo.post(edge, "/batch_events", numberedBatch(channel, n, batch, size))); err != nil {
			t.Fatal(err)
		}
		n += batch
		if queued := metric(edge, "outbound_queue_bytes "); queued > float64((slow+1)*(queueBytes+64<<10)) {
			t.Errorf("%v bytes are queued for %d sockets that do not read", queued, slow)
		}
	}
	var work sync.WaitGroup
	for _, s := range lazy {
		work.Go(func() {
			for i := 0; i < n; {
				var err error
				if i, err = s.hearNumbered(i); err != nil {
					t.Errorf("a slow reader of a channel that keeps %d events: %v", n, err)
					return
				}
			}
			if err := s.alive(); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if now := metric(edge, "slow_consumers_total{"); now != before {
		t.Errorf("%v were cut off", now-before)
	}
}

// unread lets readers that do not read stand beside one that does, publishes to
// them until the former are cut off, and has them read what they find.
func unread(t *testing.T, edge *hftest.Edge, channel string, size, batch, queueBytes int) {
	const slow = 6
	cutOff := func() float64 { return metric(edge, "slow_consumers_total{") }
	before := cutOff()
	var lazy []*socket
	for range slow {
		s, err := join(edge, how{receive: 4096}, channel)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		lazy = append(lazy, s)
	}
	reader, err := join(edge, how{}, channel)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.close()
	var work sync.WaitGroup
	defer work.Wait()
	published := make(chan int, 1) // how many in the end, told before the last
	work.Go(func() {
		n, err := 0, error(nil)
		for most := -1; err == nil && n != most; {
			select {
			case most = <-published:
			default:
				n, err = reader.hearNumbered(n)
			}
		}
		if err != nil {
			t.Errorf("one who reads the same channel: %v", err)
		}
	})

	n := 0
	for deadline := time.Now().Add(hftest.Patience); cutOff() < before+slow; {
		if time.Now().After(deadline) {
			t.Fatalf("%v of %d are cut off after %d events", cutOff()-before, slow, n)
		}
		if err := taken(demo.post(edge, "/batch_events", numberedBatch(channel, n, batch, size))); err != nil {
			t.Fatal(err)
		}
		n += batch
		if queued := metric(edge, "outbound_queue_bytes "); queued > float64((slow+1)*(queueBytes+1024)) {
			t.Errorf("%v bytes are queued for %d sockets, limit %d each", queued, slow+1, queueBytes)
		}
	}
	published <- n + 1
	// From here on the Close frames must be read within the two seconds that the
	// server waits for them.
	faults := make(chan error, slow)
	for _, s := range lazy {
		work.Go(func() { faults <- s.readToTheReason() })
	}
	for range slow {
		if err := <-faults; err != nil {
			t.Error(err)
		}
	}
	if !eventually(func() bool { return metric(edge, "outbound_queue_bytes ") == 0 }) {
		t.Error("bytes are queued for nobody")
	}
	if err := taken(demo.post(edge, "/batch_events", numberedBatch(channel, n, 1, 1))); err != nil {
		t.Error(err)
	}
}

// numberedBatch is a batch of events with numbers from first on.
func numberedBatch(channel string, first, n, size int) string {
	events := make([]map[string]string, n)
	for i := range events {
		events[i] = map[string]string{"name": "n", "channel": channel, "data": fmt.Sprintf("%d %s", first+i, strings.Repeat("x", size))}
	}
	return toJSON(map[string]any{"batch": events})
}

// hearNumbered expects event n of numberedBatch and returns the next number.
func (s *socket) hearNumbered(n int) (next int, err error) {
	ev, err := s.want("n")
	if err == nil && !strings.HasPrefix(ev.Text(), fmt.Sprint(n, " ")) {
		err = fmt.Errorf("wanted event %d, got %.100s", n, ev.Raw)
	}
	return n + 1, err
}

// readToTheReason reads numbered events from 0 on, without a gap, then the error
// and the close.
func (s *socket) readToTheReason() error {
	const text = "limits.queue_bytes or limits.queue_messages"
	for n := 0; ; n++ {
		m, err := s.next()
		if err != nil {
			return fmt.Errorf("after %d events: %w", n, err)
		}
		ev, err := m.event()
		if err != nil {
			return err
		}
		if ev.Event == "pusher:error" {
			if err := errorIs(ev, 4100, text); err != nil {
				return err
			}
			break
		}
		if ev.Event != "n" || !strings.HasPrefix(ev.Text(), fmt.Sprint(n, " ")) {
			return fmt.Errorf("wanted event %d, got %.100s", n, ev.Raw)
		}
	}
	m, err := s.next()
	if err != nil {
		return err
	}
	if code, reason := m.closing(); m.op != opClose || code != 4100 || !strings.Contains(reason, text) {
		return fmt.Errorf("wanted close 4100, got %v", m)
	}
	return s.wantEnd()
}

// A silent connection is asked, and closed when it does not answer; one that
// answers, or only receives, is left alone.
func TestLimitSilence(t *testing.T) {
	t.Parallel()
	const activity, grace, pong, each = 10 * time.Second, time.Second, 5 * time.Second, 50
	edge := hftest.Start(t, hftest.Options{Flags: set("server.activity_timeout=10s", "server.ping_grace=1s", "server.pong_timeout=5s")})
	crowd := accompany(t, edge)
	timeouts := metric(edge, "heartbeat_timeouts_total ")
	crowd.beside("activity_timeout, pong_timeout", func() {
		var work sync.WaitGroup
		faults := make(chan error, 3*each)
		for range each {
			for _, answer := range []string{"", `{"event":"pusher:pong","data":{}}`, `{"event":"client-anything"}`} {
				work.Go(func() { faults <- stayQuiet(edge, answer, activity+grace, pong) })
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
	grew(t, edge, "heartbeat_timeouts_total ", timeouts, each)
	if now := metric(edge, "heartbeat_timeouts_total "); now != timeouts+each {
		t.Errorf("%v were closed for silence, wanted %d", now-timeouts, each)
	}
}

// stayQuiet says nothing until it is asked, and then answer, or nothing.
func stayQuiet(edge *hftest.Edge, answer string, quiet, pong time.Duration) error {
	s, err := join(edge, how{})
	if err != nil {
		return err
	}
	defer s.close()
	begun := time.Now()
	if _, err := s.want("pusher:ping"); err != nil {
		return fmt.Errorf("after %s of silence: %w", time.Since(begun), err)
	}
	if took := time.Since(begun); took < quiet || took > quiet+2*time.Second+slack {
		return fmt.Errorf("asked after %s of silence, wanted %s", took, quiet)
	}
	asked := time.Now()
	if answer == "" {
		_, err := s.wantClose(4201, "pong not received")
		if took := time.Since(asked); err == nil && (took < pong-time.Second/10 || took > pong+2*time.Second+slack) {
			err = fmt.Errorf("closed after %s without an answer, wanted %s", took, pong)
		}
		return err
	}
	if err := s.text(answer); err != nil {
		return err
	}
	if strings.Contains(answer, "client-") {
		if err := s.wantError(4301, ""); err != nil {
			return err
		}
	}
	time.Sleep(time.Until(asked.Add(pong + 2*time.Second))) // whoever answered has to last this long
	return errors.Join(s.silent(), s.alive())
}

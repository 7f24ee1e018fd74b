package limits

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

const (
	messageBytes = 16 << 10
	fragments    = 64
	deflate      = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
)

// pingOf is a valid message of exactly so many bytes, that is answered.
func pingOf(bytes int) string {
	const head, tail = `{"event":"pusher:ping","data":"`, `"}`
	return head + strings.Repeat("a", bytes-len(head)-len(tail)) + tail
}

// deflated compresses a message as RFC 7692 section 7.2.1 says.
func deflated(p []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = w.Write(p)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0x00, 0x00, 0xff, 0xff})
}

// inPieces is a message in so many frames.
func inPieces(message string, pieces int) (frames []byte) {
	for i := range pieces {
		from, to := len(message)*i/pieces, len(message)*(i+1)/pieces
		first := byte(opCont)
		if i == 0 {
			first = opText
		}
		if i == pieces-1 {
			first |= fin
		}
		frames = appendFrame(frames, first, []byte(message[from:to]))
	}
	return frames
}

// A message over its limits closes with 1009, or 1008 when it takes too long; and
// neither a declared length nor a compressed one costs memory before it is there.
func TestLimitMessage(t *testing.T) {
	edge := hftest.Start(t, hftest.Options{Flags: set("limits.message_time=1s", "limits.frames_per_second=1000")})
	crowd := accompany(t, edge)
	// A DEFLATE stream expands at most 1,032 times: 16 KiB, all that a frame may
	// hold, become 16 MiB. As plain zeros, and as JSON that is valid to its end.
	bombs := [][]byte{
		deflated(make([]byte, 16<<20)),
		deflated([]byte(pingOf(15 << 20))),
	}
	for _, bomb := range bombs {
		if len(bomb) > messageBytes {
			t.Fatalf("a bomb of %d bytes does not get in", len(bomb))
		}
	}
	mib := strings.Repeat("x", 1<<20)
	emptyPieces := append(appendFrame(nil, opText, nil), bytes.Repeat(appendFrame(nil, opCont, nil), 1000)...)
	cases := []struct {
		name   string
		header string
		send   []byte
		text   string // in the reason of a close 1009; "" = is answered
	}{
		{"exactly the limit", "", appendFrame(nil, fin|opText, []byte(pingOf(messageBytes))), ""},
		{"one byte over", "", appendFrame(nil, fin|opText, []byte(pingOf(messageBytes+1))), "limits.message_bytes"},
		{"one byte over, in pieces", "", inPieces(pingOf(messageBytes+1), 10), "limits.message_bytes"},
		{"1 MiB", "", appendFrame(nil, fin|opText, []byte(mib)), "limits.message_bytes"},
		{"2^63-1 declared, one byte sent", "", append(appendHeader(nil, fin|opText, 1<<63-1), 'x'), "limits.message_bytes"},
		{"2^63-1 declared, 1 MiB sent", "", append(appendHeader(nil, fin|opText, 1<<63-1), mib...), "limits.message_bytes"},
		{"64 fragments", "", inPieces(pingOf(1000), fragments), ""},
		{"65 fragments", "", inPieces(pingOf(1000), fragments+1), "limits.fragments"},
		{"empty fragments", "", emptyPieces, "limits.fragments"},
		{"the limit, inflated", deflate, appendFrame(nil, fin|rsv1|opText, deflated([]byte(pingOf(messageBytes)))), ""},
		{"one byte over, inflated", deflate, appendFrame(nil, fin|rsv1|opText, deflated([]byte(pingOf(messageBytes+1)))), "limits.message_bytes"},
		{"a bomb of zeros", deflate, appendFrame(nil, fin|rsv1|opText, bombs[0]), "limits.message_bytes"},
		{"a bomb of JSON", deflate, appendFrame(nil, fin|rsv1|opText, bombs[1]), "limits.message_bytes"},
	}
	before := resident(t, edge)
	crowd.beside("message_bytes, fragments", func() {
		crowd.storm(4, func(int) error {
			for _, c := range cases {
				if err := playMessage(edge, how{header: c.header}, c.send, c.text); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			return nil
		})
	})
	// One bomb inflated would be 16 MiB; four at a time, 64.
	if grown := resident(t, edge) - before; grown > 16<<20*slowdown {
		t.Errorf("the server has grown by %d KiB", grown>>10)
	}
	crowd.beside("message_time", func() { declaredLengths(t, edge) })
}

func playMessage(edge *hftest.Edge, h how, send []byte, text string) error {
	s, err := join(edge, h)
	if err != nil {
		return err
	}
	defer s.close()
	sent := make(chan error, 1)
	go func() { sent <- s.write(send) }()
	if text == "" {
		_, err := s.want("pusher:pong")
		return errors.Join(err, <-sent)
	}
	_, err = s.wantClose(1009, text)
	return err
}

// Large messages take turns: however many come at once, and whoever of them does not
// go on, each that is whole is answered, and nobody beside them waits.
func TestLimitLargeMessages(t *testing.T) {
	const large, stalled, each = 1 << 20, 24, 48 // the stalled ones alone have all turns
	edge := hftest.Start(t, hftest.Options{Flags: set("limits.message_bytes=2MiB")})
	crowd := accompany(t, edge)
	frame := appendFrame(nil, fin|opText, []byte(pingOf(large)))
	crowd.beside("messages of more than 64 KiB", func() {
		var open []*socket
		for range stalled + each {
			s, err := join(edge, how{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			open = append(open, s)
		}
		for _, s := range open[:stalled] {
			if err := s.write(frame[:100<<10]); err != nil {
				t.Fatal(err)
			}
		}
		var work sync.WaitGroup
		for _, s := range open[stalled:] {
			work.Go(func() {
				if err := s.write(frame); err != nil {
					t.Error(err)
				} else if _, err := s.want("pusher:pong"); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		for _, s := range open[:stalled] {
			work.Go(func() {
				err := s.write(frame[100<<10:])
				if err == nil {
					_, err = s.want("pusher:pong")
				}
				if err != nil {
					t.Errorf("one that had stalled: %v", err)
				}
			})
		}
		work.Wait()
	})
}

// declaredLengths opens messages that never end: what was announced and not sent
// must not be paid for, and their time runs out.
func declaredLengths(t *testing.T, edge *hftest.Edge) {
	const each, most = 200, 64 << 10
	huge := append(appendHeader(nil, fin|opText, 1<<63-1), 'x')
	begun := append(appendHeader(nil, fin|opText, messageBytes), 'x')
	var sockets []*socket
	for range 3 * each {
		s, err := join(edge, how{header: deflate})
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		sockets = append(sockets, s)
	}
	before := resident(t, edge)
	sent := time.Now()
	for i, s := range sockets {
		if err := s.write([][]byte{huge, begun, inPieces(pingOf(300), 3)[:110]}[i%3]); err != nil {
			t.Fatal(err)
		}
	}
	if grown := (resident(t, edge) - before) / len(sockets); grown > most {
		t.Errorf("a declared length costs %d bytes a connection, wanted at most %d", grown, most)
	}
	var work sync.WaitGroup
	faults := make(chan error, len(sockets)+1)
	for i, s := range sockets {
		work.Go(func() {
			code, text := 1008, "limits.message_time"
			if i%3 == 0 {
				code, text = 1009, "limits.message_bytes"
			}
			if _, err := s.wantClose(code, text); err != nil {
				faults <- err
			} else if took := time.Since(sent); code == 1008 && (took < time.Second || took > 3*time.Second+slack) {
				faults <- fmt.Errorf("message_time of 1s ended after %s", took)
			}
		})
	}
	work.Go(func() { faults <- trickle(edge) })
	work.Wait()
	close(faults)
	for err := range faults {
		if err != nil {
			t.Error(err)
		}
	}
	if grown := (resident(t, edge) - before) / len(sockets); grown > most {
		t.Errorf("a declared length has cost %d bytes a connection, wanted at most %d", grown, most)
	}
}

// trickle sends a piece of a message now and then, with pings between them that
// show life. The message is over its time nevertheless, and a new one has a time
// of its own.
func trickle(edge *hftest.Edge) error {
	s, err := join(edge, how{})
	if err != nil {
		return err
	}
	for range 3 { // each within the time, together beyond it
		if err := s.frame(opText, []byte(`{"event":"pusher:`)); err != nil {
			return err
		}
		time.Sleep(600 * time.Millisecond) // a part of message_time, of which three make more than all
		if err := s.frame(fin|opCont, []byte(`ping"}`)); err != nil {
			return fmt.Errorf("a message of 600 ms: %w", err)
		}
		if _, err := s.want("pusher:pong"); err != nil {
			return fmt.Errorf("a message of 600 ms: %w", err)
		}
	}
	go func() {
		for first := byte(opText); s.frame(first, []byte(" ")) == nil && s.frame(fin|opPing, nil) == nil; first = opCont {
			time.Sleep(200 * time.Millisecond) // frames keep coming: only the whole message takes too long
		}
	}()
	_, err = s.wantClose(1008, "limits.message_time")
	return err
}

// A flood of messages or fragments closes with 1008 after the burst. Subscribes
// have a limit of their own and do not count.
func TestLimitFrames(t *testing.T) {
	const rate, burst = 100, 200
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	reached := metric(edge, `rate_limited_total{scope="frames"}`)
	const ping = `{"event":"pusher:ping"}`
	flood := bytes.Repeat(appendFrame(nil, fin|opText, []byte(ping)), 20*burst)
	pieces := bytes.Repeat(inPieces(ping, 20), 20*burst)
	crowd.beside("frames_per_second", func() {
		crowd.storm(4, func(worker int) error {
			s, err := join(edge, how{})
			if err != nil {
				return err
			}
			begun := time.Now()
			input, weight := flood, 1
			if worker%2 == 1 {
				input, weight = pieces, 20
			}
			go func() { _ = s.write(input) }() // the server stops reading it
			pongs, err := s.wantClose(1008, "limits.frames_per_second")
			if most := burst + int(time.Since(begun).Seconds()*rate) + 1; err == nil && (pongs < burst/weight || pongs*weight > most) {
				err = fmt.Errorf("%d frames were handled, wanted %d to %d", pongs*weight, burst, most)
			}
			return err
		})
	})
	grew(t, edge, `rate_limited_total{scope="frames"}`, reached, 4)

	s, err := join(edge, how{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	// Both buckets of one connection, filled to the brim. One who leaves before its
	// turn to join has come is not answered, so the pongs tell.
	input := bytes.Repeat(appendFrame(nil, fin|opText, []byte(ping)), burst-1)
	for range burst / 2 {
		input = appendFrame(input, fin|opText, []byte(subscribeText("room", "", "")))
		input = appendFrame(input, fin|opText, []byte(`{"event":"pusher:unsubscribe","data":{"channel":"room"}}`))
	}
	if err := s.write(appendFrame(input, fin|opText, []byte(ping))); err != nil {
		t.Fatal(err)
	}
	for pongs := 0; pongs < burst; {
		m, err := s.next()
		if err != nil || m.op != opText {
			t.Fatalf("a connection within both its limits, after %d pongs: %v, %v", pongs, m, err)
		}
		if bytes.Contains(m.payload, []byte("pusher:pong")) {
			pongs++
		}
	}
}

// A flood of pings from a client that never reads ends with a Close frame that it
// finds when it does.
func TestLimitControlFrames(t *testing.T) {
	const rate = 10
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	reached := metric(edge, `rate_limited_total{scope="control_frames"}`)
	crowd.beside("control_frames_per_second", func() {
		crowd.storm(4, func(worker int) error {
			s, err := join(edge, how{receive: 4096})
			if err != nil {
				return err
			}
			op := []byte{opPing, opPong}[worker%2]
			ping := appendFrame(nil, fin|op, bytes.Repeat([]byte("p"), 125))
			begun := time.Now()
			for range rate { // what is within the rate is answered
				if err := s.write(ping); err != nil {
					return err
				}
			}
			for range 500 {
				if err := s.write(bytes.Repeat(ping, 10)); err != nil {
					break // the server has read enough and closed
				}
			}
			pongs, err := s.wantClose(1008, "limits.control_frames_per_second")
			switch most := rate + int(time.Since(begun).Seconds()*rate) + 1; {
			case err != nil:
			case op == opPing && (pongs < rate || pongs > most):
				err = fmt.Errorf("%d pings were answered, wanted %d to %d", pongs, rate, most)
			case op == opPong && pongs > 0:
				err = fmt.Errorf("%d answers to pongs", pongs)
			}
			return err
		})
	})
	grew(t, edge, `rate_limited_total{scope="control_frames"}`, reached, 4)
}

// What is no message of the protocol is answered, each time, and the connection
// stays.
func TestLimitUnparsable(t *testing.T) {
	edge := hftest.Start(t, hftest.Options{Flags: set("limits.frames_per_second=100000")})
	crowd := accompany(t, edge)
	garbage := []string{
		``, ` `, `{`, `}`, `null`, `[]`, `"pusher:ping"`, `{}`, `{"data":{}}`, `{"event":7}`, `{"event":null}`, `{"event":""}`,
		`{"event":"pusher:ping"`, `{"event":"pusher:ping"}}`, `{"event":"pusher:ping",}`, `{event:"pusher:ping"}`,
		`{"event":"pusher:nonsense"}`, `{"event":"pusher_internal:subscription_succeeded","channel":"a","data":"{}"}`,
		`{"event":"pusher:subscribe"}`, `{"event":"pusher:subscribe","data":[]}`, `{"event":"pusher:subscribe","data":{"channel":7}}`,
		strings.Repeat("[", messageBytes), strings.Repeat(`{"a":`, messageBytes/5), `"` + strings.Repeat(`\u0000`, 2000) + `"`,
	}
	// Subscribes that make no sense are counted like others, and would pause us.
	var often []string
	for _, g := range garbage {
		if !strings.Contains(g, "pusher:subscribe") {
			often = append(often, g)
		}
	}
	crowd.beside("unparsable", func() {
		crowd.storm(4, func(int) error {
			s, err := join(edge, how{})
			if err != nil {
				return err
			}
			defer s.close()
			if err := play(s, garbage); err != nil {
				return err
			}
			for range 20 {
				if err := play(s, often); err != nil {
					return err
				}
			}
			return s.alive()
		})
	})
}

// play sends garbage in one write and expects an error for each.
func play(s *socket, garbage []string) error {
	sent := make(chan error, 1)
	go func() { sent <- s.texts(garbage...) }()
	for _, g := range garbage {
		if err := s.wantError(4200, "Invalid message format"); err != nil {
			return fmt.Errorf("%.40q: %w", g, err)
		}
	}
	return <-sent
}

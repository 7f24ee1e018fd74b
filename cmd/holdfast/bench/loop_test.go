package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gobwas/ws"
)

// testLoop is a loop without a server: its connections are ends of socket pairs,
// subscribed, and peer is the other end of connection 0.
func testLoop(t testing.TB, n int) (l *loop, peer int) {
	t.Helper()
	p := Default(Fanout)
	p.Connections = n
	b, file, err := newBoard(p.shape())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	to, err := parseTarget(t.Context(), p.URL, 1)
	if err != nil {
		t.Fatal(err)
	}
	clock, err := newClock()
	if err != nil {
		t.Fatal(err)
	}
	c := &crew{params: p, target: to, board: b, clock: clock, run: newRunID(1)}
	if l, err = c.newLoop(0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(l.epoll) })
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[1]) })
	for i := range uint32(n) {
		*l.conns.At(i) = conn{fd: int32(pair[0]), state: stateSubscribed, activity: 120}
		l.tracks.At(i).begin(0)
	}
	l.connected = n
	return l, pair[1]
}

// event is a message as a server sends it.
func (l *loop) testEvent(number uint32) []byte {
	return fmt.Appendf(nil, `{"event":"bench","channel":"bench-0","data":"%s","seq":%d}`,
		appendPayload(nil, l.run, payload{number: number, after: number - 1, due: l.clock.now()}, 200), number)
}

// Receiving a broadcast costs no allocation, whether its frame comes whole or in parts.
func TestReceptionAllocatesNothing(t *testing.T) {
	l, _ := testLoop(t, 1)
	c := l.conns.At(0)
	number := uint32(0)
	frames := make([][]byte, 300)
	for i := range frames {
		frames[i] = serverFrame(ws.OpText, true, string(l.testEvent(uint32(i+1))))
	}
	receive := func() {
		frame := frames[number]
		number++
		now := l.clock.now()
		if number%2 == 0 {
			l.input(0, c, frame, now)
			return
		}
		l.input(0, c, frame[:50], now)
		n := copy(l.in, l.held.bytes(c.in))
		n += copy(l.in[n:], frame[50:])
		l.input(0, c, l.in[:n], now)
	}
	receive()
	if n := testing.AllocsPerRun(200, receive); n != 0 {
		t.Errorf("a reception allocates %v times", n)
	}
	if l.tally.Received != int64(number) || l.tally.Lost+l.tally.Duplicate+l.tally.SeqGaps != 0 || c.in != 0 {
		t.Errorf("of %d received %d: %+v", number, l.tally.Received, l.tally.Failures)
	}
}

// Frames in pieces of every size, messages in fragments with a ping between them.
func TestInputInPieces(t *testing.T) {
	l, peer := testLoop(t, 1)
	c := l.conns.At(0)
	text := string(l.testEvent(2))
	stream := serverFrame(ws.OpText, true, string(l.testEvent(1)))
	stream = append(stream, serverFrame(ws.OpText, false, text[:10])...)
	stream = append(stream, serverFrame(ws.OpPing, true, "are you there")...)
	stream = append(stream, serverFrame(ws.OpContinuation, false, text[10:20])...)
	stream = append(stream, serverFrame(ws.OpContinuation, true, text[20:])...)
	stream = append(stream, serverFrame(ws.OpText, true, `{"event":"pusher:ping","data":{}}`)...)
	for size := 1; size <= len(stream); size += 1 + size/3 {
		l.tracks.At(0).begin(0)
		l.tracks.At(0).seq = 0
		received := l.tally.Received
		for at := 0; at < len(stream); at += size {
			n := copy(l.in, l.held.bytes(c.in))
			n += copy(l.in[n:], stream[at:min(at+size, len(stream))])
			l.input(0, c, l.in[:n], l.clock.now())
		}
		if c.state != stateSubscribed || l.tally.Received != received+2 || c.in != 0 || c.message != 0 {
			t.Fatalf("pieces of %d: received %d, state %d: %v", size, l.tally.Received-received, c.state, l.tally.Failures)
		}
		wantFrame(t, peer, ws.OpPong, "are you there")
		wantFrame(t, peer, ws.OpText, string(pongText))
	}
}

// wantFrame reads one frame of the client.
func wantFrame(t *testing.T, peer int, op ws.OpCode, payload string) {
	t.Helper()
	buffer := make([]byte, 6+len(payload))
	n, err := unix.Read(peer, buffer)
	if err != nil {
		t.Fatal(err)
	}
	f, err := readFrame(strings.NewReader(string(buffer[:n])))
	if err != nil || f.Header.OpCode != op || string(ws.UnmaskFrame(f).Payload) != payload {
		t.Fatalf("%+v, %v; want %v %q", f, err, op, payload)
	}
}

func TestInputIsRefused(t *testing.T) {
	for reason, in := range map[string]string{
		errTooBig.Error():                  "\x81\x7f\x00\x00\x00\x00\x00\x20\x00\x00",
		errBinary.Error():                  "\x82\x00",
		errFragments.Error():               "\x80\x01x",
		errMasked.Error():                  "\x81\x80\x00\x00\x00\x00",
		errEnvelope.Error():                "\x81\x02hi",
		errGreeting.Error():                string(serverFrame(ws.OpText, true, `{"event":"pusher:connection_established","data":"{}"}`)),
		"a success for what was not asked": string(serverFrame(ws.OpText, true, `{"event":"pusher_internal:subscription_succeeded","channel":"bench-7"}`)),
		"subscription refused":             string(serverFrame(ws.OpText, true, `{"event":"pusher:subscription_error","channel":"bench-0","data":{}}`)),
		"closed with 4100":                 "\x88\x02\x10\x04",
		"closed with 1005":                 "\x88\x00",
	} {
		t.Run(reason, func(t *testing.T) {
			l, _ := testLoop(t, 1)
			c := l.conns.At(0)
			l.input(0, c, []byte(in), l.clock.now())
			if c.state != stateEnded || l.tally.Failures[reason] != 1 || l.tally.Dropped != 1 || l.connected != 0 {
				t.Errorf("state %d, dropped %d: %v", c.state, l.tally.Dropped, l.tally.Failures)
			}
		})
	}
}

// A server that is silent for its activity_timeout is pinged once, and given up
// when it does not answer; one that speaks is left alone.
func TestSilence(t *testing.T) {
	l, peer := testLoop(t, 1)
	c := l.conns.At(0)
	at := func(d time.Duration) { l.check(0, c, msOf(d), l.start+int64(d)) }
	at(119 * time.Second)
	if l.tally.PingsSent != 0 {
		t.Fatal("pinged too soon")
	}
	at(120 * time.Second)
	at(149 * time.Second)
	wantFrame(t, peer, ws.OpText, string(pingText))
	if l.tally.PingsSent != 1 || c.state != stateSubscribed {
		t.Fatalf("%d pings, state %d", l.tally.PingsSent, c.state)
	}
	c.heard, c.pinged = msOf(149*time.Second), false // as any input does
	at(150 * time.Second)
	at(268 * time.Second)
	if l.tally.PingsSent != 1 || c.state != stateSubscribed {
		t.Fatalf("%d pings after a sign of life, state %d", l.tally.PingsSent, c.state)
	}
	at(269 * time.Second)
	at(299 * time.Second)
	if c.state != stateEnded || l.tally.Failures["subscribed: no pong"] != 1 {
		t.Errorf("state %d: %v", c.state, l.tally.Failures)
	}
}

// What the kernel does not take is sent when it does.
func TestOutputWaits(t *testing.T) {
	l, peer := testLoop(t, 1)
	c := l.conns.At(0)
	want := 0
	for range 100 {
		l.send(0, c, opText, make([]byte, 10_000))
		want += 4 + 4 + 10_000
	}
	if c.out == 0 {
		t.Fatal("the kernel took all: the test shows nothing")
	}
	got, buffer := 0, make([]byte, 1<<16)
	for c.out != 0 || got < want {
		n, err := unix.Read(peer, buffer)
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		got += max(n, 0)
		if c.out != 0 && !l.flush(0, c) {
			t.Fatalf("lost: %v", l.tally.Failures)
		}
		if n <= 0 && c.out == 0 {
			break
		}
	}
	if got != want {
		t.Errorf("%d of %d bytes", got, want)
	}
}

// BenchmarkSweep is what a pass over a million idle connections costs; there are two a second.
func BenchmarkSweep(b *testing.B) {
	const n = 1_000_000
	l, _ := testLoop(b, n)
	for b.Loop() {
		now := l.clock.now()
		ms := l.ms(now)
		for i := range uint32(n) {
			l.check(i, l.conns.At(i), ms, now)
		}
	}
}

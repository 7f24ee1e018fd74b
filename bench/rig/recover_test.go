package main

import (
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseSuccess(t *testing.T) {
	const head = `{"event":"pusher_internal:subscription_succeeded","channel":"bench","data":"{}"`
	no, yes := false, true
	for _, tt := range []struct {
		name, rest string
		want       success
	}{
		{"no history", `}`, success{}},
		{"head at joining", `,"position":{"epoch":"k3f9","seq":41}}`, success{Position: &position{"k3f9", 41}}},
		{"recovered", `,"position":{"epoch":"k3f9","seq":41},"recovered":true,"replayed":7}`, success{Position: &position{"k3f9", 41}, Recovered: &yes, Replayed: 7}},
		{"lost", `,"position":{"epoch":"k3f9","seq":9},"recovered":false,"reason":"expired"}`, success{Position: &position{"k3f9", 9}, Recovered: &no, Reason: "expired"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseSuccess([]byte(head + tt.rest))
			same := err == nil && got.Replayed == tt.want.Replayed && got.Reason == tt.want.Reason &&
				(got.Position == nil) == (tt.want.Position == nil) && (got.Recovered == nil) == (tt.want.Recovered == nil)
			if same && got.Position != nil {
				same = *got.Position == *tt.want.Position
			}
			if same && got.Recovered != nil {
				same = *got.Recovered == *tt.want.Recovered
			}
			if !same {
				t.Fatalf("parsed %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
	if _, err := parseSuccess([]byte("{")); err == nil {
		t.Error("half a frame was parsed")
	}
}

func TestParsePosition(t *testing.T) {
	if at, err := parsePosition("k3f9:41"); err != nil || at != (position{"k3f9", 41}) || at.String() != "k3f9:41" {
		t.Errorf("parsePosition = %v, %v", at, err)
	}
	for _, bad := range []string{"", "-", "k3f9", "k3f9:", ":1", "k3f9:-1", "k3f9:1,k3f9:2", "k3f9:99999999999999999"} {
		if at, err := parsePosition(bad); err == nil {
			t.Errorf("parsePosition(%q) = %v", bad, at)
		}
	}
}

// The test of the tester: each thing that may go wrong in a return is told apart.
func TestComebackFindsEveryFault(t *testing.T) {
	shape := messageShape{seq: true, padding: []byte("pad")}
	from := []position{{"k3f9", 5}, {"k3f9", 5}}
	const good = `{"position":{"epoch":"k3f9","seq":5},"recovered":true,"replayed":3}`
	text := func(n int) []byte { return shape.appendText(nil, n) }
	type arrival struct {
		client, number int
		text           []byte
	}
	all := func(client int) (out []arrival) {
		for n := 5; n <= 8; n++ {
			out = append(out, arrival{client, n, text(n)})
		}
		return out
	}
	for _, tt := range []struct {
		name     string
		success  string // of client 1; client 0 does all right
		arrivals []arrival
		want     comeback
		exact    bool
	}{
		{"all right", good, all(1), comeback{recovered: 2, complete: 2, live: 2, delivered: 8}, true},
		{"not recovered", `{"position":{"epoch":"k3f9","seq":8},"recovered":false,"reason":"expired"}`, all(1)[3:],
			comeback{recovered: 1, complete: 1, live: 2, delivered: 5, outOfOrder: 1}, false},
		{"wrong count", `{"position":{"epoch":"k3f9","seq":5},"recovered":true,"replayed":2}`, all(1), comeback{recovered: 1, complete: 2, live: 2, delivered: 8}, false},
		{"wrong position", `{"position":{"epoch":"k3f9","seq":6},"recovered":true,"replayed":3}`, all(1), comeback{recovered: 1, complete: 2, live: 2, delivered: 8}, false},
		{"no answer to the recover", `{"position":{"epoch":"k3f9","seq":5}}`, all(1), comeback{recovered: 1, complete: 2, live: 2, delivered: 8}, false},
		{"one left out", good, append(all(1)[:1:1], all(1)[2:]...), comeback{recovered: 2, complete: 2, live: 2, delivered: 7, outOfOrder: 1}, false},
		{"the last left out", good, all(1)[:3], comeback{recovered: 2, complete: 2, live: 1, delivered: 7}, false},
		{"one twice", good, append(all(1)[:2:2], all(1)[1:]...), comeback{recovered: 2, complete: 2, live: 2, delivered: 8, duplicates: 1}, false},
		{"another seq", good, append([]arrival{{1, 5, []byte(`{"event":"bench","channel":"bench","data":"0000000005pad","seq":7}`)}}, all(1)[1:]...),
			comeback{recovered: 2, complete: 2, live: 2, delivered: 7, corrupt: 1, outOfOrder: 1}, false},
		{"one from before", good, append([]arrival{{1, 4, text(4)}}, all(1)...), comeback{recovered: 2, complete: 2, live: 2, delivered: 8, corrupt: 1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newComeback(shape, 5, 3, from, func() int64 { return 7 })
			for client, success := range []string{good, tt.success} {
				if err := k.subscribed(client, []byte(success)); err != nil {
					t.Fatal(err)
				}
			}
			for _, a := range append(all(0), tt.arrivals...) {
				k.arrival(a.client, a.number, a.text)
			}
			got := comeback{recovered: k.recovered, complete: k.complete, live: k.live, delivered: k.delivered,
				duplicates: k.duplicates, outOfOrder: k.outOfOrder, corrupt: k.corrupt}
			if got.recovered != tt.want.recovered || got.complete != tt.want.complete || got.live != tt.want.live || got.delivered != tt.want.delivered ||
				got.duplicates != tt.want.duplicates || got.outOfOrder != tt.want.outOfOrder || got.corrupt != tt.want.corrupt || k.exact() != tt.exact {
				t.Fatalf("found %+v, exact %v; want %+v", got, k.exact(), tt.want)
			}
			if k.recovered+len(k.refused) != 2 {
				t.Errorf("refused: %v", k.refused)
			}
		})
	}
}

func TestSummaryOfLatencies(t *testing.T) {
	if got := summary(nil); got != (latencies{}) {
		t.Errorf("of nothing: %+v", got)
	}
	var ns []int64
	for i := 100; i >= 1; i-- {
		ns = append(ns, int64(i)*int64(time.Millisecond))
	}
	if got := summary(ns); got.P50 != 51 || got.P90 != 91 || got.P99 != 100 || got.Max != 100 || got.Receptions != 100 {
		t.Errorf("of 1 to 100 ms: %+v", got)
	}
}

// The kernel's time of arrival is that of the moment in which the bytes came, not of the read.
func TestArrivalIsTheKernels(t *testing.T) {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 1); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, at); err != nil {
		t.Fatal(err)
	}
	peer, _, err := unix.Accept(listener)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(peer)
	c := &crowd{began: time.Now(), stamped: true, control: make([]byte, 128)}
	for round := range 2 { // the kernel begins to stamp a moment after the first socket asked for it
		before := c.now()
		if _, err := unix.Write(peer, []byte("x")); err != nil {
			t.Fatal(err)
		}
		written := c.now()
		time.Sleep(60 * time.Millisecond) // the rig reads late, and the kernel's stamp must not say so
		n, err := c.receive(fd, make([]byte, 8))
		if err != nil || n != 1 {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		const slack = int64(20 * time.Millisecond) // between the two clocks, and for a busy machine
		if round > 0 && (c.read < before-slack || c.read > written+slack) {
			t.Errorf("arrived at %v, written between %v and %v", time.Duration(c.read), time.Duration(before), time.Duration(written))
		}
	}
}

func TestRecoverConfiguration(t *testing.T) {
	p := recoverPlan{messages: 1000, frameBytes: 165}
	if got := p.configure(target{}); got.config != "" {
		t.Errorf("defaults are enough, configured: %s", got.config)
	}
	p.messages = 5000
	want := "[limits]\nrecover_events = 5000\n[[history]]\nmatch = \"*\"\nevents = 10004\nbytes = \"64MiB\"\n"
	if got := p.configure(target{}); got.config != want {
		t.Errorf("configured %q, want %q", got.config, want)
	}
}

func TestRecoverVerdicts(t *testing.T) {
	p := &recoverPlan{messages: 1000, rounds: 1}
	good := func() *recoverResult {
		return &recoverResult{Rounds: []recoverRound{{Exact: true, Disk: 16}}, Growth: 99, Others: 100,
			Before: latencies{P99: 1}, During: latencies{P99: 1.1}}
	}
	for _, tt := range []struct {
		name   string
		change func(*recoverResult)
		fails  int
	}{
		{"good", func(*recoverResult) {}, 0},
		{"one client closed", func(r *recoverResult) { r.Rounds[0].Closed = 1 }, 1},
		{"not exact", func(r *recoverResult) { r.Rounds[0].Exact = false }, 1},
		{"a read for each client", func(r *recoverResult) { r.Rounds[0].Disk = 18 }, 1},
		{"memory", func(r *recoverResult) { r.Growth = 101 }, 1},
		{"others wait", func(r *recoverResult) { r.During.P99 = 1.2 }, 1},
		{"others not measured", func(r *recoverResult) { r.Before.P99, r.During.P99 = 0, math.Inf(1) }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.change(r)
			fails := 0
			for _, v := range r.judge(p) {
				if !v.Pass {
					fails++
				}
			}
			if fails != tt.fails {
				t.Errorf("%d of %+v failed, want %d", fails, r.judge(p), tt.fails)
			}
		})
	}
}

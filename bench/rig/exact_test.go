package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"testing"
	"time"
)

func TestLedger(t *testing.T) {
	shape := messageShape{padding: []byte("pad")}
	type arrival struct{ client, number int }
	text := func(n int) []byte { return shape.appendText(nil, n) }
	for _, tt := range []struct {
		name     string
		arrivals []arrival
		want     exactResult
	}{
		{"all in order", []arrival{{0, 1}, {1, 1}, {0, 2}, {1, 2}}, exactResult{Delivered: 4, OK: true}},
		{"one lost", []arrival{{0, 1}, {1, 1}, {1, 2}}, exactResult{Delivered: 3, Lost: 1}},
		{"one twice", []arrival{{0, 1}, {0, 1}, {1, 1}, {0, 2}, {1, 2}}, exactResult{Delivered: 4, Duplicates: 1}},
		{"two swapped", []arrival{{0, 2}, {0, 1}, {1, 1}, {1, 2}}, exactResult{Delivered: 4, OutOfOrder: 1}},
		{"unknown number", []arrival{{0, 1}, {1, 1}, {0, 2}, {1, 2}, {0, 3}, {0, 0}}, exactResult{Delivered: 4, Corrupt: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLedger(2, 2, shape)
			for _, a := range tt.arrivals {
				l.arrival(a.client, a.number, text(a.number))
			}
			tt.want.Clients, tt.want.Messages = 2, 2
			if got := l.result(); got != tt.want {
				t.Fatalf("result %+v, want %+v", got, tt.want)
			}
		})
	}
	t.Run("text of another message", func(t *testing.T) {
		l := newLedger(1, 2, shape)
		l.arrival(0, 1, append(text(1)[:len(text(1))-4], `x"}`...))
		if got := l.result(); got.Corrupt != 1 || got.Lost != 2 {
			t.Fatalf("result %+v", got)
		}
	})
	t.Run("another seq", func(t *testing.T) {
		numbered := messageShape{seq: true}
		l := newLedger(1, 20, numbered)
		l.arrival(0, 3, numbered.appendText(nil, 3))
		l.arrival(0, 4, []byte(`{"event":"bench","channel":"bench","data":"0000000004","seq":50}`))
		if got := l.result(); got.Delivered != 1 || got.Corrupt != 1 {
			t.Fatalf("result %+v", got)
		}
	})
	t.Run("a member added behind", func(t *testing.T) {
		l := newLedger(1, 1, shape)
		l.arrival(0, 1, append(text(1)[:len(text(1))-1], `,"seq":9}`...))
		if got := l.result(); !got.OK {
			t.Fatalf("result %+v", got)
		}
	})
}

// fakeServer speaks enough of the protocol for the rig, with a fault of choice on its first subscriber.
type fakeServer struct {
	mu    sync.Mutex
	conns []net.Conn
	held  []byte // a frame kept back
	fault string
	count int
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		var body struct{ Name, Data string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.publish(fmt.Sprintf(`{"event":%q,"channel":"bench","data":%q}`, body.Name, body.Data))
		w.Header().Set("Content-Length", "2")
		w.Write([]byte("{}"))
		return
	}
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
		acceptOf(r.Header.Get("Sec-WebSocket-Key")), serverFrame(`{"event":"pusher:connection_established","data":"{}"}`))
	if err := skipFrame(rw.Reader); err != nil { // the subscribe
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(conn, "%s", serverFrame(`{"event":"pusher_internal:subscription_succeeded","channel":"bench","data":"{}"}`))
	f.conns = append(f.conns, conn)
}

func (f *fakeServer) publish(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	frame := serverFrame(text)
	for i, c := range f.conns {
		out := frame
		if i == 0 && f.count > 1 { // the first message of all is the one that fits the size
			switch f.fault {
			case "loses":
				if f.count == 4 {
					continue
				}
			case "repeats":
				if f.count == 4 {
					out = append(append([]byte{}, frame...), frame...)
				}
			case "swaps":
				if f.count == 4 {
					f.held = frame
					continue
				}
				out = append(append([]byte{}, frame...), f.held...)
				f.held = nil
			case "alters":
				if f.count == 4 {
					out = append([]byte{}, frame...)
					out[len(out)-3] = 'y'
				}
			case "closes":
				if f.count == 4 {
					c.Close()
				}
			}
		}
		c.Write(out)
	}
}

func serverFrame(text string) []byte {
	if len(text) < 126 {
		return append([]byte{0x81, byte(len(text))}, text...)
	}
	return append(binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(len(text))), text...)
}

// skipFrame reads one short masked frame.
func skipFrame(r *bufio.Reader) error {
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	_, err := r.Discard(4 + int(head[1]&0x7F))
	return err
}

// The test of the tester: every kind of fault that "rig exact" is there for is found, and none where there is none.
func TestExactFindsEveryFault(t *testing.T) {
	for _, tt := range []struct {
		fault string
		want  exactResult
	}{
		{"none", exactResult{Delivered: 60, OK: true}},
		{"loses", exactResult{Delivered: 59, Lost: 1}},
		{"repeats", exactResult{Delivered: 60, Duplicates: 1}},
		{"swaps", exactResult{Delivered: 60, OutOfOrder: 1}},
		{"alters", exactResult{Delivered: 59, Lost: 1, Corrupt: 1}},
		{"closes", exactResult{Delivered: 52, Lost: 8, Closed: 1}},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			listener, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			web := &http.Server{Handler: &fakeServer{fault: tt.fault}}
			go web.Serve(listener)
			defer web.Close()
			srv := &server{target: target{name: "fake", pusher: true}, port: listener.Addr().(*net.TCPAddr).Port, exited: make(chan struct{}), cmd: &exec.Cmd{}}
			c, err := newCrowd(context.Background(), srv, waitBlock)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			e := exactPlan{clients: 6, messages: 10, frameBytes: 165, grace: 50 * time.Millisecond, silence: time.Second, limit: 20 * time.Second}
			got, err := e.deliver(c, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			got.Seconds, got.Reason = 0, ""
			tt.want.Server, tt.want.Clients, tt.want.Messages = "fake", 6, 10
			if got != tt.want {
				t.Fatalf("found %+v, want %+v", got, tt.want)
			}
		})
	}
}

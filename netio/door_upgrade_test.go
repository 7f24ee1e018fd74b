package netio

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDoorHandsUpgradesOver(t *testing.T) {
	h := newDoorHarness(t, nil)
	c := h.dial()
	c.get("/first")
	c.send(doorUpgradeHead)
	h.wantConversations(0)
	got := h.upgraded()
	if len(got) != 1 || got[0].head != doorUpgradeHead {
		t.Fatalf("upgrades: %+v", got)
	}
	// The socket is ours alone: bytes stay in the kernel until we read them.
	c.send("frame")
	p := make([]byte, 16)
	h.wait("the bytes are here", func() bool {
		n, _ := unix.IoctlGetInt(got[0].fd, unix.SIOCINQ)
		return n == 5
	})
	if n, err := unix.Read(got[0].fd, p); err != nil || string(p[:n]) != "frame" {
		t.Errorf("read %q, %v", p[:n], err)
	}
	_ = unix.Close(got[0].fd)
	c.wantEnd()
}

func TestDoorRefusesBytesBeforeThe101(t *testing.T) {
	h := newDoorHarness(t, nil)
	t.Run("with the head", func(t *testing.T) {
		c := h.dial()
		c.get("/first")
		c.send(doorUpgradeHead + "early")
		c.want(400, "101")
		c.wantEnd()
	})
	t.Run("behind a pipelined request", func(t *testing.T) {
		c := h.dial()
		c.send("GET /p HTTP/1.1\r\nHost: x\r\n\r\n" + doorUpgradeHead + "early")
		c.want(200, "GET /p  tcp")
		c.want(400, "101")
		c.wantEnd()
	})
	if got := h.upgraded(); len(got) != 0 {
		t.Errorf("%d upgrades were handed over", len(got))
	}
}

// TestDoorLeavesNothingBehind: neither an idle conversation nor a socket that was
// handed over has a goroutine.
func TestDoorLeavesNothingBehind(t *testing.T) {
	const n = 200
	h := newDoorHarness(t, nil)
	h.dial().get("/warm")
	h.wantPhase(doorIdle, 1)
	before := runtime.NumGoroutine()
	var all []*doorClient
	for range n {
		c := h.dial()
		c.get("/first")
		all = append(all, c)
	}
	few := func() bool {
		h.pool.trim() // as tick does once a second
		return runtime.NumGoroutine() <= before+doorKeptWorkers
	}
	h.wait("idle conversations have no goroutines", few)
	for _, c := range all {
		c.send(doorUpgradeHead)
	}
	h.wantConversations(1)
	h.wait("sockets that were handed over have no goroutines", few)
	if n := h.tasks(); n != 0 {
		t.Errorf("%d conversations are busy", n)
	}
	for _, u := range h.upgraded() {
		_ = unix.Close(u.fd)
	}
}

// TestDoorUpgradesUnderResets hands many sockets over to an echo server of the
// test's own, which writes the 101 first as the loop does. The clients write as
// soon as they have it and check every byte; 30 % reset at some moment.
func TestDoorUpgradesUnderResets(t *testing.T) {
	const answer = "HTTP/1.1 101 Switching Protocols\r\n\r\n"
	const n, workers = 20_000, 32
	var echoes sync.WaitGroup
	doorWarmUp(t)
	before := doorDescriptors(t)
	t.Run("clients", func(t *testing.T) {
		h := newDoorHarness(t, func(cfg *doorConfig) {
			cfg.Conversations = 8
			cfg.Upgrade = func(fd int, head []byte, _, remote net.Addr) {
				echoes.Go(func() {
					f := os.NewFile(uintptr(fd), remote.String())
					defer f.Close()
					if string(head) != doorUpgradeHead {
						t.Errorf("head is %q", head)
					}
					if _, err := io.WriteString(f, answer); err == nil {
						_, _ = io.Copy(struct{ io.Writer }{f}, struct{ io.Reader }{f})
					}
				})
			}
		})
		var next, whole, cut atomic.Int64
		var clients sync.WaitGroup
		for range workers {
			clients.Go(func() {
				for {
					i := int(next.Add(1))
					if i > n {
						return
					}
					finished, err := doorEcho(h.addr, i, answer)
					if err != nil {
						t.Errorf("connection %d: %v", i, err)
						return
					}
					if finished {
						whole.Add(1)
					} else {
						cut.Add(1)
					}
				}
			})
		}
		clients.Wait()
		t.Logf("%d whole, %d reset", whole.Load(), cut.Load())
		h.wantConversations(0)
		echoes.Wait()
	})
	if after := doorDescriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// doorEcho is one client: it reports false when it reset on purpose.
func doorEcho(addr string, i int, answer string) (bool, error) {
	random := rand.New(rand.NewPCG(1, uint64(i)))
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, byte(1+i%60))}}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if random.IntN(10) < 3 {
		// A reset after up to a millisecond meets any of the steps below.
		after := time.Duration(random.Int64N(int64(time.Millisecond)))
		reset := time.AfterFunc(after, func() {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		})
		defer reset.Stop()
		finished, err := doorExchange(conn, i, random, answer)
		return finished && err == nil, nil
	}
	return doorExchange(conn, i, random, answer)
}

func doorExchange(conn net.Conn, i int, random *rand.Rand, answer string) (bool, error) {
	if _, err := fmt.Fprintf(conn, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i); err != nil {
		return false, err
	}
	buf := make([]byte, 4096)
	var got []byte
	for want := fmt.Sprintf("GET /%d  tcp", i); !strings.HasSuffix(string(got), want); {
		n, err := conn.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			return false, fmt.Errorf("first answer %q: %w", got, err)
		}
	}
	if _, err := io.WriteString(conn, doorUpgradeHead); err != nil {
		return false, err
	}
	if _, err := io.ReadFull(conn, buf[:len(answer)]); err != nil || string(buf[:len(answer)]) != answer {
		return false, fmt.Errorf("upgrade answer %q: %w", buf[:len(answer)], err)
	}
	for range 3 {
		pattern := make([]byte, 1+random.IntN(3000))
		for k := range pattern {
			pattern[k] = byte(random.Uint32())
		}
		if _, err := conn.Write(pattern); err != nil {
			return false, err
		}
		if _, err := io.ReadFull(conn, buf[:len(pattern)]); err != nil {
			return false, err
		}
		if !bytes.Equal(buf[:len(pattern)], pattern) {
			return false, fmt.Errorf("%d bytes came back changed", len(pattern))
		}
	}
	return true, nil
}

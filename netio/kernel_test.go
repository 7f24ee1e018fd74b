package netio

import (
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/frame"
)

// errnoTimes makes a call fail with errno while left is above zero.
func errnoTimes(left *atomic.Int64, errno syscall.Errno) syscall.Errno {
	if left.Add(-1) >= 0 {
		return errno
	}
	return 0
}

func TestShortWritesKeepTheOrder(t *testing.T) {
	t.Parallel() // it waits for the clock
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(7, 7))
	srv := startServer(t, nil, func(k *kernel) {
		write := k.write
		k.write = func(fd int, p []byte) (int, syscall.Errno) {
			mu.Lock()
			n, refuse := 1+rng.IntN(len(p)), rng.IntN(10) == 0
			mu.Unlock()
			if refuse {
				return 0, syscall.ENOBUFS // the one refusal that no edge follows
			}
			return write(fd, p[:n])
		}
	})
	c := srv.dial()
	c.wantText("hello")
	for i := range 40 {
		c.sendText(string(pattern(i, 500+i)))
	}
	for i := range 40 {
		c.wantText(string(pattern(i, 500+i)))
	}
}

func TestExhaustedDescriptorsAreWaitedFor(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		t.Run(errno.Error(), func(t *testing.T) {
			var left, calls atomic.Int64
			left.Store(6) // each failure is tried twice: once more on the reserve descriptor
			srv := startServer(t, nil, func(k *kernel) {
				accept := k.accept
				k.accept = func(fd int) (int, remoteAddr, syscall.Errno) {
					calls.Add(1)
					if e := errnoTimes(&left, errno); e != 0 {
						return -1, remoteAddr{}, e
					}
					return accept(fd)
				}
			})
			began := time.Now()
			c := srv.dial()
			c.wantText("hello")
			// Three failures wait 10, 20 and 40 ms; a spinning acceptor would have made
			// thousands of calls in that time.
			if n, waited := calls.Load(), time.Since(began); n > 20 || waited < 60*time.Millisecond {
				t.Fatalf("%d accept calls in %v", n, waited)
			}
		})
	}
}

func TestAbortedConnectionsAreSkipped(t *testing.T) {
	var left atomic.Int64
	left.Store(5)
	srv := startServer(t, nil, func(k *kernel) {
		accept := k.accept
		k.accept = func(fd int) (int, remoteAddr, syscall.Errno) {
			if e := errnoTimes(&left, syscall.ECONNABORTED); e != 0 {
				return -1, remoteAddr{}, e
			}
			return accept(fd)
		}
	})
	srv.dial().wantText("hello")
	if n := srv.acceptors[0].results[acceptAborted].Load(); n != 5 {
		t.Fatalf("%d aborted counted, want 5", n)
	}
}

func TestWatchLimitClosesAndLowersTheCeiling(t *testing.T) {
	var left atomic.Int64
	srv := startServer(t, nil, func(k *kernel) {
		watch := k.watch
		k.watch = func(epfd, fd int) syscall.Errno {
			if e := errnoTimes(&left, unix.ENOSPC); e != 0 {
				return e
			}
			return watch(epfd, fd)
		}
	})
	first := srv.dial()
	first.wantText("hello")
	left.Store(1)
	refused := srv.dialTCP()
	if _, err := refused.Read(make([]byte, 1)); err == nil {
		t.Fatal("a socket that cannot be watched was kept")
	}
	if ceiling := srv.admission.ceiling.Load(); ceiling > 2 {
		t.Fatalf("the ceiling is still %d", ceiling)
	}
	first.sendText("still here")
	first.wantText("still here")
}

func TestWatchLimitAtAdoptionTellsTheClient(t *testing.T) {
	var left atomic.Int64
	srv := startServer(t, nil, func(k *kernel) {
		watch := k.watch
		k.watch = func(epfd, fd int) syscall.Errno {
			if e := errnoTimes(&left, unix.ENOSPC); e != 0 {
				return e
			}
			return watch(epfd, fd)
		}
	})
	raw := srv.dialTCP()
	_, _ = io.WriteString(raw, "GET /up HTTP/1.1\r\nHost: x\r\n\r\n")
	buf := make([]byte, 4096)
	if _, err := raw.Read(buf); err != nil {
		t.Fatal(err)
	}
	left.Store(1)
	_, _ = io.WriteString(raw, upgradeHead)
	answer, _ := io.ReadAll(raw)
	if s := string(answer); !strings.HasPrefix(s, "HTTP/1.1 101 ") || !strings.Contains(s, "error 4100") ||
		!strings.Contains(s, string([]byte{0x10, 0x04})) {
		t.Fatalf("answer %q; want 101, the error and close code 4100", s)
	}
}

func TestAResetWhileWritingEndsTheConnection(t *testing.T) {
	var armed atomic.Bool
	srv := startServer(t, nil, func(k *kernel) {
		write := k.write
		k.write = func(fd int, p []byte) (int, syscall.Errno) {
			if armed.Load() {
				return 0, syscall.ECONNRESET
			}
			return write(fd, p)
		}
	})
	c := srv.dial()
	c.wantText("hello")
	armed.Store(true)
	c.sendText("x")
	eventually(t, "the session is told", func() bool {
		return srv.count(func(s *echoSession) int64 { return s.closed.Load() }) == 1
	})
	if r := srv.lastReason(); r.Label != frame.PeerReset.Label {
		t.Fatalf("reason %+v", r)
	}
}

func TestHalfOpenLimitPerAddress(t *testing.T) {
	srv := startServer(t, func(c *Config) { c.Admission.HalfOpenPerIP = 3 }, nil)
	silent := make([]net.Conn, 3)
	for i := range silent {
		silent[i] = srv.dialTCP()
	}
	eventually(t, "three handshakes are under way", func() bool { return srv.acceptors[0].results[acceptOK].Load() == 3 })
	if _, err := srv.dialTCP().Read(make([]byte, 1)); err == nil {
		t.Fatal("a fourth half-open connection of one address was kept")
	}
	if n := srv.acceptors[0].results[acceptDenied].Load(); n != 1 {
		t.Fatalf("%d denied counted", n)
	}
	t.Log("a handshake that ends makes room")
	_, _ = io.WriteString(silent[0], upgradeHead)
	eventually(t, "it is established", func() bool { return srv.count(func(s *echoSession) int64 { return s.opened.Load() }) == 1 })
	srv.dial().wantText("hello")
}

func TestTheCeilingLetsOthersWaitInTheKernel(t *testing.T) {
	srv := startServer(t, func(c *Config) { c.Admission.MaxConnections = 2 }, nil)
	first, second := srv.dial(), srv.dial()
	waiting := srv.dialTCP() // the kernel completes the connection; nobody takes it
	_, _ = io.WriteString(waiting, upgradeHead)
	eventually(t, "the acceptor pauses", func() bool { return srv.acceptors[0].results[acceptThrottled].Load() > 0 })
	first.sendText("a")
	first.wantText("hello")
	first.wantText("a")
	_ = second.conn.Close()
	buf := make([]byte, 12)
	if _, err := io.ReadFull(waiting, buf); err != nil || string(buf) != "HTTP/1.1 101" {
		t.Fatalf("the waiting client got %q, %v", buf, err)
	}
}

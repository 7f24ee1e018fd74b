package netio

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
)

// handoffs is how many connections each door's test makes: HANDOFFS, or a number
// that takes seconds.
func handoffs() int {
	if n, err := strconv.Atoi(os.Getenv("HANDOFFS")); err == nil {
		return n
	}
	return 100_000
}

// TestHandOffThroughEachDoor makes many connections that write as soon as they
// may, checks every byte that comes back, and resets 30 % of them at random
// moments. Afterwards no descriptor, record, deadline or session is left.
func TestHandOffThroughEachDoor(t *testing.T) {
	doors := []struct {
		name string
		open func(net.Conn, *bufio.Reader) error
	}{
		{"fast door", func(c net.Conn, r *bufio.Reader) error {
			if _, err := io.WriteString(c, upgradeHead); err != nil {
				return err
			}
			return readUpgrade(r)
		}},
		{"netpoll door", func(c net.Conn, r *bufio.Reader) error {
			if _, err := io.WriteString(c, "GET /up HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return err
			}
			if err := readPlainAnswer(r); err != nil {
				return err
			}
			if _, err := io.WriteString(c, upgradeHead); err != nil {
				return err
			}
			return readUpgrade(r)
		}},
	}
	for _, door := range doors {
		t.Run(door.name, func(t *testing.T) {
			srv := startServer(t, nil, nil)
			before := descriptors(t)
			n := handoffs()
			var next, whole, cut atomic.Int64
			var workers sync.WaitGroup
			for range 32 {
				workers.Go(func() {
					for {
						i := int(next.Add(1))
						if i > n {
							return
						}
						completed, err := handOff(srv.addr, i, door.open)
						switch {
						case err != nil:
							t.Errorf("connection %d: %v", i, err)
							return
						case completed:
							whole.Add(1)
						default:
							cut.Add(1)
						}
					}
				})
			}
			workers.Wait()
			t.Logf("%d whole, %d reset on purpose", whole.Load(), cut.Load())
			eventually(t, "all sockets are released", func() bool {
				return srv.admission.live.Load() == 0 && srv.door.conversations() == 0
			})
			opened := srv.count(func(s *echoSession) int64 { return s.opened.Load() })
			closed := srv.count(func(s *echoSession) int64 { return s.closed.Load() })
			if opened != closed || opened < whole.Load() {
				t.Errorf("%d sessions opened, %d closed, %d served whole", opened, closed, whole.Load())
			}
			if after := descriptors(t); after > before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
			if n := srv.total(func(l *loopStats) int64 { return int64(l.states[stateOpen].Load() + l.states[stateHandshake].Load()) }); n != 0 {
				t.Errorf("%d records are still in use", n)
			}
		})
	}
}

// handOff is one connection. Its number decides its source address, its bytes
// and whether and when it is reset; it reports whether it ran to its end.
func handOff(addr string, i int, open func(net.Conn, *bufio.Reader) error) (bool, error) {
	// Closed connections leave TIME_WAIT behind on the client's side; 60 source
	// addresses have ports for all of them.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%60))}, Timeout: 20 * time.Second}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	reset := i%10 < 3
	moment := i / 10 % 5
	cutNow := func(at int) bool {
		if reset && moment == at {
			_ = conn.(*net.TCPConn).SetLinger(0)
			return true
		}
		return false
	}
	if cutNow(0) {
		return false, nil
	}
	r := bufio.NewReaderSize(conn, 2048)
	if reset && moment == 1 {
		_, _ = io.WriteString(conn, upgradeHead[:len(upgradeHead)/2])
		cutNow(1)
		return false, nil
	}
	if err := open(conn, r); err != nil {
		return false, err
	}
	if cutNow(2) {
		return false, nil
	}
	var out []byte
	sizes := []int{1 + i%120, 126 + i%900, 3}
	for k, size := range sizes {
		out = append(out, maskedFrame(frame.OpText, true, pattern(i+k, size))...)
	}
	if _, err := conn.Write(out); err != nil {
		return false, err
	}
	if cutNow(3) {
		return false, nil
	}
	if err := expectFrame(r, []byte("hello")); err != nil {
		return false, err
	}
	for k, size := range sizes {
		if err := expectFrame(r, pattern(i+k, size)); err != nil {
			return false, fmt.Errorf("frame %d: %w", k, err)
		}
	}
	return !cutNow(4), nil
}

func expectFrame(r *bufio.Reader, want []byte) error {
	_, p, err := readFrame(r)
	if err != nil {
		return err
	}
	if !bytes.Equal(p, want) {
		return fmt.Errorf("got %.60q, want %.60q", p, want)
	}
	return nil
}

func readPlainAnswer(r *bufio.Reader) error {
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			return err
		}
	}
	_, err := r.ReadString('\n')
	return err
}

package oracle

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// Listener says what a Client is.
type Listener struct {
	Name     string
	Addrs    []string // of the servers, or of what stands before one; each connection goes to any
	Channels []string
	Door     Door
	// Patience is how long nothing may come before the client takes its connection
	// for dead. Default hftest.Patience.
	Patience time.Duration
	// Receive is SO_RCVBUF; 0 = what the kernel gives.
	Receive int
}

// Client is a subscriber that does as the client library's plug-in does: it keeps
// the position of each channel, connects again when it is cut off, and asks for what
// it missed.
type Client struct {
	Diary *Diary

	// Immutable after newClient.
	l     Listener
	done  chan struct{} // closed when it is to leave
	left  sync.WaitGroup
	fault func(format string, args ...any)

	// reading is held by the client while it reads, and by who makes it stop.
	reading sync.Mutex

	// Owned by the client's goroutine.
	at     map[string]Position // where it stands, by channel
	asked  map[string]bool     // channels whose subscription said recover
	former string              // the socket id before this one

	mu     sync.Mutex
	nc     *net.TCPConn   // guarded by mu; nil = not connected
	socket string         // guarded by mu: its socket id
	away   bool           // guarded by mu: it does not connect
	newest map[string]int // guarded by mu: newest event, by channel
	joined map[string]bool
	closes map[int]int // guarded by mu: Close frames, by code
	dials  int         // guarded by mu: connections that were established
}

func newClient(l Listener, ledger *Ledger, fault func(format string, args ...any)) *Client {
	if l.Patience == 0 {
		l.Patience = hftest.Patience
	}
	c := &Client{
		l: l, Diary: NewDiary(l.Name, ledger), done: make(chan struct{}), fault: fault,
		at: map[string]Position{}, newest: map[string]int{}, joined: map[string]bool{}, closes: map[int]int{},
	}
	c.left.Go(c.run)
	return c
}

func (c *Client) run() {
	for {
		select {
		case <-c.done:
			return
		default:
		}
		if err := c.session(); err != nil {
			// A server that is away is asked again soon: the restart is what is measured.
			time.Sleep(time.Duration(2+rand.IntN(8)) * time.Millisecond)
		}
	}
}

// session is one connection, from the dial to its end.
func (c *Client) session() error {
	c.mu.Lock()
	away := c.away
	c.mu.Unlock()
	if away {
		return errors.New("away")
	}
	nc, err := c.dial()
	if err != nil {
		return err
	}
	defer func() {
		c.mu.Lock()
		c.nc = nil
		clear(c.joined)
		c.mu.Unlock()
		nc.Close()
	}()
	switch c.l.Door {
	case EventStream:
		return c.connected(nc, "", (&door{c, nc, bufio.NewReader(nc)}).stream)
	case Poll:
		return c.connected(nc, "", (&door{c, nc, bufio.NewReader(nc)}).polls)
	}
	conn, err := hftest.Connect(nc, c.l.Patience)
	if err != nil {
		return err
	}
	c.Diary.Connected(conn.SocketID)
	return c.connected(nc, conn.SocketID, func() error { return c.listen(conn) })
}

// connected has listen run over an established connection.
func (c *Client) connected(nc *net.TCPConn, socket string, listen func() error) error {
	c.mu.Lock()
	c.nc, c.socket = nc, socket
	c.dials++
	away := c.away
	c.mu.Unlock()
	if away {
		return errors.New("away")
	}
	return listen()
}

// pause waits while somebody wants the client not to read.
func (c *Client) pause() {
	c.reading.Lock()
	defer c.reading.Unlock()
}

// listen is what is heard over a WebSocket.
func (c *Client) listen(conn *hftest.Conn) error {
	if err := c.subscribe(conn); err != nil {
		return err
	}
	c.former = conn.SocketID
	for {
		c.pause()
		ev, err := conn.TryNext()
		if err != nil {
			var closed *hftest.CloseError
			if errors.As(err, &closed) {
				c.mu.Lock()
				c.closes[closed.Code]++
				c.mu.Unlock()
			}
			return err
		}
		c.hear(ev)
	}
}

func (c *Client) dial() (*net.TCPConn, error) {
	d := net.Dialer{Timeout: c.l.Patience}
	if c.l.Receive > 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			failed := raw.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, c.l.Receive)
			})
			return errors.Join(failed, err)
		}
	}
	nc, err := d.Dial("tcp", c.l.Addrs[rand.IntN(len(c.l.Addrs))])
	if err != nil {
		return nil, err
	}
	return nc.(*net.TCPConn), nil //nolint:forcetypeassert // it is tcp
}

func (c *Client) subscribe(conn *hftest.Conn) error {
	type resume struct {
		Position
		SocketID string `json:"socket_id,omitempty"`
	}
	c.asked = map[string]bool{}
	for _, channel := range c.l.Channels {
		data := map[string]any{"channel": channel, "auth": ""}
		if strings.HasPrefix(channel, "private-") {
			data["auth"] = conn.Auth(channel)
		}
		if at := c.at[channel]; at.Epoch != "" {
			data["recover"] = resume{at, c.former}
			c.asked[channel] = true
		}
		b, err := json.Marshal(map[string]any{"event": "pusher:subscribe", "data": data})
		if err != nil {
			return err
		}
		if err := conn.TrySend(string(b)); err != nil {
			return err
		}
	}
	return nil
}

// heard is what the server adds to the protocol's messages.
type heard struct {
	Seq       uint64    `json:"seq"`
	Position  *Position `json:"position"`
	Recovered *bool     `json:"recovered"`
	Reason    string    `json:"reason"`
}

func (c *Client) hear(ev hftest.Event) {
	var h heard
	if err := json.Unmarshal([]byte(ev.Raw), &h); err != nil {
		c.fault("%s: %v in %s", c.l.Name, err, ev.Raw)
		return
	}
	at := Position{}
	if h.Position != nil {
		at = *h.Position
	}
	switch channel := ev.Channel; {
	case ev.Event == "pusher_internal:subscription_succeeded":
		c.success(channel, at, h)
	case ev.Event == "pusher_internal:position" && h.Reason == "":
		c.Diary.Skipped(channel, at)
		c.at[channel] = at
	case ev.Event == "pusher_internal:position":
		c.Diary.Turned(channel, at)
		c.at[channel] = at
	case ev.Event == "pusher:error": // a Close frame follows
	case strings.HasPrefix(ev.Event, "pusher"):
		c.fault("%s: the server said %s", c.l.Name, ev.Raw)
	default:
		text := ev.Text()
		c.Diary.Event(channel, h.Seq, text)
		if h.Seq != 0 {
			c.at[channel] = Position{c.at[channel].Epoch, h.Seq}
		}
		if n, ok := c.Diary.ledger.Read(channel, text); ok {
			c.mu.Lock()
			c.newest[channel] = max(n, c.newest[channel])
			c.mu.Unlock()
		}
	}
}

func (c *Client) success(channel string, at Position, h heard) {
	_, before := c.at[channel]
	switch {
	case c.asked[channel] && h.Recovered == nil:
		c.fault("%s: %s: an answer to recover without recovered", c.l.Name, channel)
	case c.asked[channel] && *h.Recovered:
		c.Diary.Recovered(channel, at)
	case c.asked[channel]:
		c.Diary.Gap(channel, h.Reason, at)
	case before:
		c.Diary.Gap(channel, "no position", at) // it had none to ask with
	default:
		c.Diary.Joined(channel, at)
	}
	c.at[channel] = at
	c.mu.Lock()
	c.joined[channel] = true
	c.mu.Unlock()
}

// Subscribed tells whether all subscriptions of this connection were answered.
func (c *Client) Subscribed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nc != nil && len(c.joined) == len(c.l.Channels)
}

// Newest is the newest event that came on the channel.
func (c *Client) Newest(channel string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest[channel]
}

// Socket is the socket id of the present or last connection.
func (c *Client) Socket() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socket
}

// Dials is how often it has connected.
func (c *Client) Dials() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dials
}

// Closed is how often it got a Close frame with that code.
func (c *Client) Closed(code int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closes[code]
}

// Leave cuts the connection with a reset and stays away.
func (c *Client) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = true
	if c.nc != nil {
		_ = c.nc.SetLinger(0)
		c.nc.Close()
	}
}

// Return ends Leave.
func (c *Client) Return() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = false
}

// StopReading leaves what comes in the socket until the returned function is called.
func (c *Client) StopReading() (goOn func()) {
	c.reading.Lock()
	return c.reading.Unlock
}

// end is the client's last word.
func (c *Client) end() {
	close(c.done)
	c.Leave()
	c.left.Wait()
}

// String names the client in a fault.
func (l Listener) String() string { return fmt.Sprintf("%s on %v", l.Name, l.Channels) }

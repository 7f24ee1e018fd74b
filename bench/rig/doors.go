package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	doorTimeout = 15 * time.Second // for a connect, and for an answer that is due at once
	doorBytes   = 1 << 20          // of one poll's answer
)

// errDoor: the answer of an event stream or a poll is not what the protocol says.
var errDoor = errors.New("rig: bad answer of a stream")

// door is one connection that speaks plain HTTP. One goroutine uses it at a time.
type door struct {
	conn net.Conn
	in   *bufio.Reader
}

func openDoor(port int) (*door, error) {
	conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", port), doorTimeout)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) // ended by RST: no TIME_WAIT
	}
	return &door{conn, bufio.NewReaderSize(conn, 1024)}, nil
}

func (d *door) close() { d.conn.Close() }

// ask sends a GET. within bounds the time to the answer's end, or for a stream to its first event.
func (d *door) ask(path string, within time.Duration) error {
	d.conn.SetDeadline(time.Now().Add(within))
	_, err := fmt.Fprintf(d.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, d.conn.RemoteAddr())
	return err
}

func (d *door) answer(contentType string) (io.Reader, error) {
	resp, err := http.ReadResponse(d.in, nil)
	if err != nil {
		return nil, err
	}
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != contentType {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return nil, fmt.Errorf("%w: %s, %s: %.300s", errDoor, resp.Status, got, b)
	}
	return resp.Body, nil
}

// eventStream is an open event stream.
type eventStream struct {
	door
	body *bufio.Reader
}

// subscribeStream opens an event stream of one channel and reads up to its success frame.
func subscribeStream(port int, channel string) (*eventStream, error) {
	d, err := openDoor(port)
	if err != nil {
		return nil, err
	}
	s, err := d.stream(channel)
	if err != nil {
		d.close()
		return nil, err
	}
	return s, nil
}

func (d *door) stream(channel string) (*eventStream, error) {
	if err := d.ask("/app/"+appKey+"/sse?channel="+channel, doorTimeout); err != nil {
		return nil, err
	}
	body, err := d.answer("text/event-stream")
	if err != nil {
		return nil, err
	}
	s := &eventStream{*d, bufio.NewReaderSize(body, 1024)}
	first, err := readBlock(s.body)
	if err != nil {
		return nil, err
	}
	second, err := readBlock(s.body)
	if err != nil {
		return nil, err
	}
	if first.retry == "" || !strings.Contains(second.data, `"pusher_internal:subscription_succeeded"`) {
		return nil, fmt.Errorf("%w: begins with %+v, %+v", errDoor, first, second)
	}
	return s, nil
}

// event waits for the next event.
func (s *eventStream) event(within time.Duration) (block, error) {
	s.conn.SetDeadline(time.Now().Add(within))
	for {
		b, err := readBlock(s.body)
		if err != nil || b.data != "" {
			return b, err
		}
	}
}

// block is what stands between two empty lines of an event stream.
type block struct {
	id, data, retry string
	comment         bool
}

// readBlock reads one block that is not empty.
func readBlock(r *bufio.Reader) (b block, err error) {
	some := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return block{}, err
		}
		if line = strings.TrimSuffix(line, "\n"); line == "" {
			if some {
				return b, nil
			}
			continue
		}
		some = true
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "":
			b.comment = true
		case "id":
			b.id = value
		case "data":
			b.data += value
		case "retry":
			b.retry = value
		default:
			return block{}, fmt.Errorf("%w: line %.100q", errDoor, line)
		}
	}
}

// pollAnswer is what a poll of one channel was answered.
type pollAnswer struct {
	Next     string `json:"next"`
	Channels []struct {
		Channel   string            `json:"channel"`
		Recovered *bool             `json:"recovered"`
		Events    []json.RawMessage `json:"events"`
	} `json:"channels"`
}

// poll sends one poll; its answer is read by polled. since may be empty: where does the channel stand?
func (d *door) poll(channel, since string, wait int) error {
	path := fmt.Sprintf("/app/%s/poll?channel=%s&wait=%d", appKey, channel, wait)
	if since != "" {
		path += "&since=" + since
	}
	return d.ask(path, time.Duration(wait)*time.Second+doorTimeout)
}

// polled waits for the answer.
func (d *door) polled() (a pollAnswer, err error) {
	body, err := d.answer("application/json")
	if err != nil {
		return a, err
	}
	b, err := io.ReadAll(io.LimitReader(body, doorBytes))
	if err != nil {
		return a, err
	}
	return parsePoll(b)
}

func parsePoll(b []byte) (a pollAnswer, err error) {
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("%w: %w: %.200q", errDoor, err, b)
	}
	if len(a.Channels) != 1 || a.Next == "" {
		return a, fmt.Errorf("%w: %.200q", errDoor, b)
	}
	return a, nil
}

package oracle

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// Door is how a client listens.
type Door uint8

// The doors onto the log. Event streams and polls are for public channels here.
const (
	WebSocket Door = iota
	EventStream
	Poll
)

// door is a connection of a client that is no WebSocket.
type door struct {
	c  *Client
	nc net.Conn
	r  *bufio.Reader
}

func (d *door) get(path string, query url.Values, header string) (*http.Response, error) {
	_ = d.nc.SetDeadline(time.Now().Add(d.c.l.Patience))
	_, err := fmt.Fprintf(d.nc, "GET /app/%s/%s?%s HTTP/1.1\r\nHost: edge\r\n%s\r\n", hftest.AppKey, path, query.Encode(), header)
	if err != nil {
		return nil, err
	}
	return http.ReadResponse(d.r, nil)
}

// since is where the client stands, in the text form of positions; "" = it has not
// been there yet.
func (d *door) since() string {
	var texts []string
	known := false
	for _, channel := range d.c.l.Channels {
		at := d.c.at[channel]
		if at.Epoch == "" {
			texts = append(texts, "-")
			continue
		}
		texts, known = append(texts, at.String()), true
	}
	if !known {
		return ""
	}
	return strings.Join(texts, ",")
}

// query names the channels and where the client stands.
func (d *door) query() url.Values {
	q := url.Values{"channel": d.c.l.Channels}
	d.c.asked = map[string]bool{}
	if since := d.since(); since != "" {
		q.Set("since", since)
		for _, channel := range d.c.l.Channels {
			d.c.asked[channel] = d.c.at[channel].Epoch != ""
		}
	}
	return q
}

// stream is one event stream, from its request to its end.
func (d *door) stream() error {
	c := d.c
	q, header := d.query(), ""
	if since := q.Get("since"); since != "" && rand.IntN(2) == 0 {
		q.Del("since") // as EventSource does by itself
		header = "Last-Event-ID: " + since + "\r\n"
	}
	resp, err := d.get("sse", q, header)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode < 500 {
			c.fault("%s: %s %s", c.l, resp.Status, b)
		}
		return fmt.Errorf("event stream: %s", resp.Status)
	}
	lines := bufio.NewReader(resp.Body)
	id := ""
	for {
		_ = d.nc.SetDeadline(time.Now().Add(c.l.Patience))
		c.pause()
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, "id: "); ok {
			id = text
		}
		text, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue // a comment, retry, or the end of a block
		}
		ev := hftest.Event{Raw: text}
		if err := json.Unmarshal([]byte(text), &ev); err != nil {
			c.fault("%s: %v in %s", c.l, err, text)
			return err
		}
		c.hear(ev)
		if c.Subscribed() && strings.Trim(id, "-,") != "" && id != d.since() {
			c.fault("%s: id %s with %s, the client stands at %s", c.l, id, text, d.since())
		}
	}
}

// polls asks again and again over one connection.
func (d *door) polls() error {
	etag := ""
	for {
		d.c.pause()
		q, header := d.query(), ""
		q.Set("wait", "1")
		if etag != "" && rand.IntN(2) == 0 {
			header = "If-None-Match: " + etag + "\r\n"
		}
		resp, err := d.get("poll", q, header)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		etag = resp.Header.Get("ETag")
		switch {
		case resp.StatusCode == http.StatusNotModified:
			if want := `"` + d.since() + `"`; etag != want {
				d.c.fault("%s: 304 with %s, the client stands at %s", d.c.l, etag, want)
			}
		case resp.StatusCode == http.StatusOK:
			if err := d.page(b); err != nil {
				d.c.fault("%s: %v in %.300s", d.c.l, err, b)
				return err
			}
		case resp.StatusCode < 500:
			d.c.fault("%s: %s %s", d.c.l, resp.Status, b)
			return fmt.Errorf("poll: %s", resp.Status)
		default:
			return fmt.Errorf("poll: %s", resp.Status)
		}
	}
}

// page reads the answer to a poll.
func (d *door) page(b []byte) error {
	var page struct {
		Next     string
		Channels []struct {
			Channel   string
			Recovered *bool
			Replayed  int
			Reason    string
			Events    []json.RawMessage
		}
	}
	if err := json.Unmarshal(b, &page); err != nil {
		return err
	}
	next := strings.Split(page.Next, ",")
	if len(next) != len(page.Channels) || len(next) != len(d.c.l.Channels) {
		return fmt.Errorf("%d positions for %d channels", len(next), len(page.Channels))
	}
	for i, p := range page.Channels {
		at := d.c.at[p.Channel]
		if p.Recovered == nil || !*p.Recovered {
			at = readPosition(next[i])
		}
		if p.Replayed != len(p.Events) {
			return fmt.Errorf("%s: replayed %d, %d events", p.Channel, p.Replayed, len(p.Events))
		}
		d.c.success(p.Channel, at, heard{Recovered: p.Recovered, Reason: p.Reason})
		for _, raw := range p.Events {
			ev := hftest.Event{Raw: string(raw)}
			if err := json.Unmarshal(raw, &ev); err != nil {
				return err
			}
			d.c.hear(ev)
		}
		if now := d.c.at[p.Channel]; now != readPosition(next[i]) {
			return fmt.Errorf("next is %s, the client stands at %s", next[i], now)
		}
	}
	return nil
}

// readPosition reads the text form; the zero Position for a channel without history.
func readPosition(text string) (p Position) {
	epoch, seq, ok := strings.Cut(text, ":")
	if _, err := fmt.Sscan(seq, &p.Seq); ok && err == nil {
		p.Epoch = epoch
	}
	return p
}

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	longestWait   = 50               // of a poll, s
	longestSettle = 40 * time.Second // the polls must wait through it
	doorsAtOnce   = 64               // streams that are opened at the same time
	eventTimeout  = 30 * time.Second // from the publish to the last stream
	warmDoors     = 16               // of each kind, opened and ended before the first reading: few, since their memory is used again
)

// streamsPlan is one measurement of the doors that speak plain HTTP.
type streamsPlan struct {
	judged
	streams, polls int
	base           int // idle WebSocket connections below them
	settle         time.Duration
	frameBytes     int
}

// streamsResult is what it found.
type streamsResult struct {
	Server      string  `json:"server"`
	Streams     int     `json:"streams"`
	Polls       int     `json:"polls"`
	Base        int     `json:"base_connections"`
	Goroutines  [3]int  `json:"goroutines"`   // before, with the streams, with the polls too
	RSS         [3]int  `json:"rss_bytes"`    // the same
	Anon        [3]int  `json:"anon_bytes"`   // the same
	StreamBytes float64 `json:"stream_bytes"` // resident, each
	PollBytes   float64 `json:"poll_bytes"`
	Delivered   int     `json:"streams_that_got_the_event"`
	Answered    int     `json:"polls_answered_with_it"`
	Reason      string  `json:"reason,omitempty"` // of the first that failed
	Seconds     float64 `json:"seconds"`          // publish call to the last of them, as the rig's goroutines see it
	CPU         float64 `json:"server_cpu_s"`     // of that
}

func runStreams(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	p := streamsPlan{frameBytes: 165}
	fs := flag.NewFlagSet("rig streams", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	fs.IntVar(&p.streams, "sse", 2000, "event streams")
	fs.IntVar(&p.polls, "polls", 2000, "waiting polls")
	fs.IntVar(&p.base, "base", 4000, "idle WebSocket connections below them, as the method of the memory row has it")
	fs.DurationVar(&p.settle, "settle", 15*time.Second, "quiet time before a resident size is read")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if p.streams < 1 || p.polls < 1 || p.base < 0 || p.settle < 0 || p.settle > longestSettle || fs.NArg() > 0 {
		return false, fmt.Errorf("%w: -sse and -polls are at least 1, -settle at most %v (a poll waits for %d s), and nothing stands behind the flags",
			errRefused, longestSettle, longestWait)
	}
	p.wait = "block" // the rig's other goroutines want its CPU, and time on the clock is not what is judged
	return p.run(ctx, "streams", p.streams+p.polls+p.base+2*warmDoors, out, progress,
		func(t target) target { return t.with("", "--set", "admin.pprof=true") },
		func(b *bench, c *crowd) (any, []verdict, error) { return p.measure(b, c, progress) })
}

func (p *streamsPlan) measure(b *bench, c *crowd, progress io.Writer) (any, []verdict, error) {
	r := &streamsResult{Server: c.srv.target.name, Streams: p.streams, Polls: p.polls, Base: p.base}
	h := &hall{c: c, port: c.srv.port}
	defer h.close()
	if err := h.warm(p.frameBytes, p.base); err != nil {
		return nil, nil, err
	}
	read := func(i int) error { return p.reading(b, c, r, i) }
	if err := read(0); err != nil {
		return nil, nil, err
	}
	if err := h.open(p.streams, h.openStream); err != nil {
		return nil, nil, fmt.Errorf("open the streams: %w", err)
	}
	fmt.Fprintf(progress, "%d streams are open\n", p.streams)
	if err := read(1); err != nil {
		return nil, nil, err
	}
	if err := h.open(p.polls, h.openPoll); err != nil {
		return nil, nil, fmt.Errorf("open the polls: %w", err)
	}
	fmt.Fprintf(progress, "%d polls wait\n", p.polls)
	if err := read(2); err != nil {
		return nil, nil, err
	}
	if err := h.publish(r); err != nil {
		return nil, nil, err
	}
	r.StreamBytes = float64(r.RSS[1]-r.RSS[0]) / float64(p.streams)
	r.PollBytes = float64(r.RSS[2]-r.RSS[1]) / float64(p.polls)
	return r, []verdict{
		atMost("goroutines more", float64(r.Goroutines[2]-r.Goroutines[0]), 50),
		atMost("resident bytes an event stream", r.StreamBytes, 1024),
		atMost("resident bytes a waiting poll", r.PollBytes, 1024),
		exactly("streams that got the event", float64(r.Delivered), float64(p.streams)),
		exactly("polls answered with it", float64(r.Answered), float64(p.polls)),
	}, nil
}

// reading lets the server become quiet and reads what it holds; its profile last, since that allocates.
func (p *streamsPlan) reading(b *bench, c *crowd, r *streamsResult, i int) error {
	if err := c.rest(p.settle); err != nil {
		return err
	}
	m, err := c.srv.memory()
	if err != nil {
		return err
	}
	r.RSS[i], r.Anon[i] = int(m.rss), int(m.anon)
	r.Goroutines[i], err = c.srv.goroutines(b.ctx)
	return err
}

// hall is all streams and polls of one channel. Each has a goroutine of the rig once the event is published: the client
// is not what is measured here.
type hall struct {
	c       *crowd
	port    int
	p       *publisher
	at      position // where the channel stands
	mu      sync.Mutex
	streams []*eventStream // guarded by mu
	polls   []*door        // guarded by mu
}

func (h *hall) close() {
	for _, s := range h.streams {
		s.close()
	}
	for _, d := range h.polls {
		d.close()
	}
	h.streams, h.polls = nil, nil
}

// warm connects what lies below the streams, and lets the server do everything once: its pools have their size then.
func (h *hall) warm(frameBytes, base int) (err error) {
	h.c.sharing("bench-idle")
	if err := h.c.connect(base, doorsAtOnce); err != nil {
		return err
	}
	crew, err := h.c.addPublishers(1)
	if err != nil {
		return err
	}
	h.p = crew[0]
	h.c.shape = messageShape{seq: true}
	h.c.shape.padding = sized(frameBytes, 2+len(h.c.shape.appendText(nil, 0)))
	if err := h.where(); err != nil {
		return err
	}
	if err := h.open(warmDoors, h.openStream); err != nil {
		return err
	}
	if err := h.open(warmDoors, h.openPoll); err != nil {
		return err
	}
	var r streamsResult
	if err := h.publish(&r); err != nil {
		return err
	}
	if r.Delivered != warmDoors || r.Answered != warmDoors {
		return fmt.Errorf("%d of %d streams and %d of %d polls got the first event: %s", r.Delivered, warmDoors, r.Answered, warmDoors, r.Reason)
	}
	h.close()
	if _, err := h.c.srv.goroutines(h.c.ctx); err != nil {
		return err
	}
	return h.where()
}

// where asks for the channel's position.
func (h *hall) where() error {
	d, err := openDoor(h.port)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.poll(benchChannel, "", 0); err != nil {
		return err
	}
	a, err := d.polled()
	if err != nil {
		return err
	}
	h.at, err = parsePosition(a.Next)
	return err
}

func (h *hall) openStream() error {
	s, err := subscribeStream(h.port, benchChannel)
	if err == nil {
		h.mu.Lock()
		h.streams = append(h.streams, s)
		h.mu.Unlock()
	}
	return err
}

func (h *hall) openPoll() error {
	d, err := openDoor(h.port)
	if err == nil {
		if err = d.poll(benchChannel, h.at.String(), longestWait); err == nil {
			h.mu.Lock()
			h.polls = append(h.polls, d)
			h.mu.Unlock()
			return nil
		}
		d.close()
	}
	return err
}

// open calls one for n doors, a few at a time.
func (h *hall) open(n int, one func() error) error {
	work, failed := make(chan struct{}, n), make(chan error, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	var wg sync.WaitGroup
	for range doorsAtOnce {
		wg.Go(func() {
			for range work {
				if err := one(); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// publish publishes one event and waits until every stream and every poll has it, or has failed.
func (h *hall) publish(r *streamsResult) error {
	number := int(h.at.Seq)
	text := string(h.c.shape.appendText(nil, number))
	next := position{h.at.Epoch, h.at.Seq + 1}.String()
	got := make(chan error, len(h.streams)+len(h.polls))
	for _, s := range h.streams {
		go func() {
			b, err := s.event(eventTimeout)
			if err == nil && (b.data != text || b.id != next) {
				err = fmt.Errorf("%w: block %+v, want %s at %s", errDoor, b, text, next)
			}
			if err == nil {
				r.add(&r.Delivered, h)
			}
			got <- err
		}()
	}
	for _, d := range h.polls {
		go func() {
			a, err := d.polled()
			if err == nil && (a.Next != next || len(a.Channels[0].Events) != 1 || string(a.Channels[0].Events[0]) != text) {
				err = fmt.Errorf("%w: %+v, want %s at %s", errDoor, a, text, next)
			}
			if err == nil {
				r.add(&r.Answered, h)
			}
			got <- err
		}()
	}
	began := time.Now()
	cpu, _, err := h.c.srv.used(func() error {
		if err := h.p.publish(number); err != nil {
			return err
		}
		if err := h.c.until(eventTimeout, "answer", func() bool { return !h.p.busy }); err != nil {
			return err
		}
		for range cap(got) {
			if err := <-got; err != nil && r.Reason == "" {
				r.Reason = err.Error()
			}
		}
		return nil
	})
	r.Seconds, r.CPU = time.Since(began).Seconds(), seconds(cpu)
	h.at.Seq++
	return err
}

// add counts one, from any goroutine.
func (r *streamsResult) add(n *int, h *hall) {
	h.mu.Lock()
	*n++
	h.mu.Unlock()
}

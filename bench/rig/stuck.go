package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stuckQueue   = 64 << 10  // limits.queue_bytes by default: what the server holds for one that does not read
	stuckReceive = 4 << 10   // SO_RCVBUF of one that stopped: its kernel then holds little, and the server's queue fills soon
	stuckAwake   = 208 << 10 // SO_RCVBUF of one that reads again, as sockets have it by default
	stuckTimeout = 8 * time.Minute
	// stuckSilence is how long nothing may come for those who read again. Their buffer was made smaller than what was on
	// its way, so their kernel dropped some of it, and the server's sends it anew at an interval that doubles up to
	// TCP_RTO_MAX, 120 s. The first that is sent after they woke may be dropped as well.
	stuckSilence = 250 * time.Second
)

// stuckPlan is one crowd of which some stop reading.
type stuckPlan struct {
	judged
	clients, stuck int
	rate           float64 // events a second on their channel
	frameBytes     int
	history        bool
	others         int
	every          time.Duration
	calm           time.Duration // under the load, all read
	length         time.Duration // under the load, some do not
	warm           int           // events before anything is measured: what the log keeps of the channel is there then
}

// stuckResult is what it took.
type stuckResult struct {
	Server     string    `json:"server"`
	Clients    int       `json:"clients"`
	Stuck      int       `json:"stuck"`
	History    bool      `json:"history"`
	Published  int       `json:"published"` // of the load, both phases
	Missing    int       `json:"missing"`   // receptions that those who read did not have
	Lost       int       `json:"readers_lost"`
	Reason     string    `json:"reason,omitempty"`
	Closed     float64   `json:"closed_as_slow"`    // by the server
	CaughtUp   int       `json:"caught_up"`         // of the stuck, after they read again; on a channel with history
	StuckLost  int       `json:"stuck_lost"`        // of the stuck, closed after they read again; on a channel with history
	PeakBefore int64     `json:"peak_before_bytes"` // VmHWM of the phase in which all read
	PeakDuring int64     `json:"peak_during_bytes"` // and of that in which some do not
	Growth     int64     `json:"growth_bytes"`      // the difference
	Bound      int64     `json:"queue_bound_bytes"` // stuck × queue_bytes
	Allowed    int64     `json:"allowed_bytes"`     // the same × (1 + GOGC/100)
	Each       float64   `json:"growth_bytes_each"`
	Queued     float64   `json:"queued_bytes"` // holdfast_outbound_queue_bytes, the largest of the readings
	Before     latencies `json:"others_before"`
	During     latencies `json:"others_during"`
}

func runStuck(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	p := stuckPlan{warm: defaultKept}
	fs := flag.NewFlagSet("rig stuck", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	p.sizeFlag(fs)
	fs.IntVar(&p.clients, "n", 10000, "subscribers of the channel")
	fs.IntVar(&p.stuck, "stuck", 200, "of them stop reading")
	fs.Float64Var(&p.rate, "publish-rate", 4, "events a second on the channel")
	fs.IntVar(&p.frameBytes, "bytes", 4096, "of one event on the wire")
	fs.BoolVar(&p.history, "history", true, "the channel has history: who does not read catches up later; false: is closed (4100)")
	fs.IntVar(&p.others, "others", 100, "well-behaved connections on another channel")
	fs.DurationVar(&p.every, "every", 10*time.Millisecond, "time between two events of theirs")
	fs.DurationVar(&p.calm, "calm", time.Minute, "how long all read")
	fs.DurationVar(&p.length, "for", time.Minute, "how long the stuck ones do not")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if p.quick {
		p.clients, p.stuck, p.rate, p.calm, p.length, p.warm = 500, 20, 20, 2*time.Second, 6*time.Second, 100
	}
	if p.stuck < 1 || p.clients <= p.stuck || p.rate <= 0 || p.frameBytes < 165 || p.others < 1 || p.every <= 0 || p.calm <= 0 || p.length <= 0 || fs.NArg() > 0 {
		return false, fmt.Errorf("%w: -stuck is at least 1 and below -n, -publish-rate and the durations are above 0, -bytes at least 165, -others at least 1, and nothing stands behind the flags", errRefused)
	}
	return p.run(ctx, "stuck", p.clients+p.others+2*bystanderCalls, out, progress, p.configure,
		func(b *bench, c *crowd) (any, []verdict, error) { return p.measure(b, c, progress) })
}

// configure: who does not read does not answer a ping either, and would be closed for that (4201) in the middle of the
// measurement.
func (p *stuckPlan) configure(t target) target {
	config := ""
	if !p.history {
		config = noHistory
	}
	return t.with(config, "--set", "server.activity_timeout=600s")
}

// standstill is one measurement under way.
type standstill struct {
	plan   *stuckPlan
	b      *bench
	c      *crowd
	o      *bystanders
	load   *paced
	r      *stuckResult
	asleep []int // descriptors of those that do not read
	had    []int // messages by client
}

func (p *stuckPlan) measure(b *bench, c *crowd, progress io.Writer) (any, []verdict, error) {
	s := &standstill{plan: p, b: b, c: c, had: make([]int, p.clients), r: &stuckResult{Server: c.srv.target.name, Clients: p.clients,
		Stuck: p.stuck, History: p.history, Bound: int64(p.stuck) * stuckQueue}}
	slack, err := heapSlack(readText(filepath.Join(c.srv.dir, "output")))
	if err != nil {
		return nil, nil, err
	}
	s.r.Allowed = int64(float64(s.r.Bound) * slack)
	if err := s.gather(); err != nil {
		return nil, nil, err
	}
	defer func() { c.between = nil; s.o.close() }()
	fmt.Fprintf(progress, "%d clients subscribed, %d others\n", c.subscribed, p.others)
	if s.r.PeakBefore, err = s.phase("before", p.calm); err != nil {
		return nil, nil, err
	}
	if err := s.stop(); err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(progress, "%d of them stopped reading\n", p.stuck)
	if s.r.PeakDuring, err = s.phase("during", p.length); err != nil {
		return nil, nil, err
	}
	if err := s.finish(); err != nil {
		return nil, nil, err
	}
	s.r.Before, s.r.During = summary(*s.o.phases["before"]), summary(*s.o.phases["during"])
	return s.r, s.r.judge(), nil
}

// gather connects everybody. Before that the channel gets as many events as its history keeps, so that the memory of
// the log is that of a channel in use.
func (s *standstill) gather() (err error) {
	p, c := s.plan, s.c
	if err := c.connect(1, 1); err != nil {
		return err
	}
	first, err := c.addCalibrated(p.frameBytes)
	if err != nil {
		return err
	}
	number := 1
	for ; number <= p.warm; number++ {
		if err := c.broadcast(first, number); err != nil {
			return err
		}
	}
	if err := c.connect(p.clients, 64); err != nil {
		return err
	}
	if s.load, err = newPaced(c, bystanderCalls, p.rate, number); err != nil {
		return err
	}
	if s.o, err = newBystanders(s.b, c.srv, p.others, p.every, 165); err != nil {
		return fmt.Errorf("bystanders: %w", err)
	}
	c.tolerant = true // a lost reader is a finding
	c.onMessage = func(one *subscriber, _ []byte, number int) {
		if number >= s.load.first {
			s.had[one.number]++
		}
	}
	c.between = func() error {
		if err := s.load.turn(); err != nil {
			return err
		}
		return s.o.turn()
	}
	return nil
}

// phase lets the load go on for d, and waits until those who read have all of it. It returns the peak resident size.
func (s *standstill) phase(name string, d time.Duration) (int64, error) {
	if err := s.c.srv.forgetPeak(); err != nil {
		return 0, err
	}
	s.o.enter(name)
	s.load.start()
	end := s.c.now() + int64(d)
	if err := s.c.until(d+time.Minute, name, func() bool { return s.c.now() >= end }); err != nil {
		return 0, err
	}
	s.load.stop()
	if err := s.o.leave(); err != nil {
		return 0, err
	}
	if err := s.reach(recoverSilence, func() bool { return s.missing() == 0 }); err != nil {
		return 0, err
	}
	m, err := s.c.srv.scrape(s.b.ctx)
	if err != nil {
		return 0, err
	}
	s.r.Queued = max(s.r.Queued, m["holdfast_outbound_queue_bytes"])
	return s.c.srv.peak()
}

// stop makes the first of the clients deaf.
func (s *standstill) stop() error {
	for fd := range s.c.subscribers {
		if one := &s.c.subscribers[fd]; one.state != stateSubscribed || int(one.number) >= s.plan.stuck {
			continue
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, stuckReceive); err != nil {
			return fmt.Errorf("SO_RCVBUF: %w", err)
		}
		if err := unix.EpollCtl(s.c.epoll, unix.EPOLL_CTL_DEL, fd, nil); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
		s.asleep = append(s.asleep, fd)
	}
	if len(s.asleep) != s.plan.stuck {
		return fmt.Errorf("%d of %d clients could be stopped", len(s.asleep), s.plan.stuck)
	}
	return nil
}

// finish reads what the server did, and wakes those who slept.
func (s *standstill) finish() error {
	r := s.r
	r.Published, r.Missing, r.Lost = len(s.load.called), s.missing(), s.c.lost
	if s.c.fault != nil {
		r.Reason = s.c.fault.Error()
	}
	m, err := s.c.srv.scrape(s.b.ctx)
	if err != nil {
		return err
	}
	if r.Closed, err = m.since(metrics{}, `holdfast_slow_consumers_total{action="close",reason="queue"}`); err != nil {
		return err
	}
	r.Growth = r.PeakDuring - r.PeakBefore
	r.Each = float64(r.Growth) / float64(r.Stuck)
	if !s.plan.history {
		return nil
	}
	for _, fd := range s.asleep { // adding a socket that has input is an edge
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, stuckAwake); err != nil {
			return fmt.Errorf("SO_RCVBUF: %w", err)
		}
		ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
		if err := unix.EpollCtl(s.c.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	if err := s.reach(stuckSilence, func() bool { return s.caughtUp() == s.plan.stuck }); err != nil {
		return err
	}
	r.CaughtUp, r.StuckLost = s.caughtUp(), s.c.lost-r.Lost
	return nil
}

// reach handles input until done, or until nothing has come for so long.
func (s *standstill) reach(silence time.Duration, done func() bool) error {
	last, before := s.c.now(), s.c.received
	return s.c.until(stuckTimeout, "the last events", func() bool {
		if s.c.received != before {
			last, before = s.c.now(), s.c.received
		}
		return (done() && s.load.idle()) || s.c.now()-last > int64(silence)
	})
}

// missing is how many receptions those who read have not had.
func (s *standstill) missing() (n int) {
	for i, had := range s.had {
		if i >= len(s.asleep) {
			n += len(s.load.called) - had
		}
	}
	return n
}

// caughtUp is how many of the stuck have had everything.
func (s *standstill) caughtUp() (n int) {
	for _, had := range s.had[:len(s.asleep)] {
		if had == len(s.load.called) {
			n++
		}
	}
	return n
}

// heapSlack is how far the resident size of a Go heap may be above what lives on it, by the percentage that the server
// writes at its start: 1.5 for a GOGC of 50.
func heapSlack(output string) (float64, error) {
	_, rest, found := strings.Cut(output, `"gogc":`)
	var percent int
	if _, err := fmt.Sscanf(rest, "%d", &percent); !found || err != nil {
		return 0, fmt.Errorf("the server does not say its gogc: %.300q", output)
	}
	return 1 + float64(percent)/100, nil
}

func (r *stuckResult) judge() []verdict {
	ratio := 0.0
	if r.Before.P99 > 0 {
		ratio = r.During.P99 / r.Before.P99
	}
	p99 := atMost("others' p99, during over before", ratio, 1.10)
	p99.Pass = p99.Pass && ratio > 0
	out := []verdict{
		atMost(fmt.Sprintf("bytes queued (%d × %d)", r.Stuck, stuckQueue), r.Queued, float64(r.Bound)),
		atMost("resident size, bytes more (the same on a heap that the collector lets grow)", float64(r.Growth), float64(r.Allowed)),
		exactly("receptions that readers missed", float64(r.Missing), 0),
		exactly("readers lost", float64(r.Lost), 0),
		p99,
	}
	if r.History {
		return slices.Insert(out, 4, exactly("stuck ones that caught up", float64(r.CaughtUp), float64(r.Stuck)))
	}
	return slices.Insert(out, 4, exactly("stuck ones that the server closed", r.Closed, float64(r.Stuck)))
}

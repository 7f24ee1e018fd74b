package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"time"
)

const (
	fairBar     = 20  // ms: p99 of the quiet channels
	fairShare   = 0.9 // of the runs must hold it
	fairCalls   = 32  // connections on which the quiet channels' events are published
	fairTimeout = time.Minute
)

// fairCases are what the server allows the noisy client.
var fairCases = []struct{ name, config string }{
	{"raised", "[limits]\nclient_events_per_second = 10000\nframes_per_second = 100000\n"},
	{"limited", ""},
}

// fairPlan is one noisy client beside a large channel and many quiet ones.
type fairPlan struct {
	judged
	clients int     // subscribers of the large channel
	rate    float64 // events a second on it
	quiet   int     // channels with one subscriber
	events  float64 // a second, on all quiet channels together
	which   string  // name of a case, or both
	runs    int
	warm    time.Duration // of a run, uncounted
	calm    time.Duration // of a run, without the noise
	length  time.Duration // with it
}

// fairRun is one fresh process.
type fairRun struct {
	Case      string    `json:"case"`
	Calm      latencies `json:"quiet_before"` // the large channel alone
	Noisy     latencies `json:"quiet_during"`
	Holds     bool      `json:"holds"`
	Missing   int       `json:"quiet_missing"`
	Steal     float64   `json:"steal_percent"`
	Others    float64   `json:"others_percent"`
	CPU       float64   `json:"server_cpu_share"` // of its CPU, with the noise
	Load      int       `json:"large_published"`
	Sent      int       `json:"noise_sent"`
	Relayed   int       `json:"noise_relayed"`
	Refused   int       `json:"noise_refused"` // 4301
	Reconnect int       `json:"noise_reconnects"`
	Reason    string    `json:"noise_closed_because,omitempty"` // of the first
}

// fairResult is all runs.
type fairResult struct {
	Server  string    `json:"server"`
	Clients int       `json:"clients"`
	Quiet   int       `json:"quiet_channels"`
	Runs    []fairRun `json:"runs"`
}

func runFair(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	p := fairPlan{warm: time.Second}
	fs := flag.NewFlagSet("rig fair", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	p.sizeFlag(fs)
	fs.IntVar(&p.clients, "n", 10000, "subscribers of the large channel")
	fs.Float64Var(&p.rate, "publish-rate", 6, "events a second on it")
	fs.IntVar(&p.quiet, "quiet", 1000, "channels with one subscriber")
	fs.Float64Var(&p.events, "quiet-rate", 200, "events a second on all of these together")
	fs.StringVar(&p.which, "case", "both", "what the server allows the noisy client: raised, limited or both")
	fs.IntVar(&p.runs, "runs", 10, "runs of each case, each with a fresh process")
	fs.DurationVar(&p.calm, "calm", 5*time.Second, "time without the noise, in each run")
	fs.DurationVar(&p.length, "for", 10*time.Second, "time with it")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if p.quick {
		p.clients, p.quiet, p.runs, p.calm, p.length = 500, 50, 1, time.Second, 2*time.Second
	}
	if p.clients < 1 || p.rate <= 0 || p.quiet < 1 || p.events <= 0 || p.runs < 1 || p.calm <= 0 || p.length <= 0 || fs.NArg() > 0 {
		return false, fmt.Errorf("%w: -n, -quiet and -runs are at least 1, the rates and durations above 0, and nothing stands behind the flags", errRefused)
	}
	if p.which != "both" && p.which != fairCases[0].name && p.which != fairCases[1].name {
		return false, fmt.Errorf("%w: -case is raised, limited or both", errRefused)
	}
	return p.session(ctx, "fair", p.clients+p.quiet+2*fairCalls+8, out, progress, nil,
		func(b *bench, ts []target) (any, []verdict, error) { return p.measure(b, ts[0], progress) })
}

func (p *fairPlan) measure(b *bench, t target, progress io.Writer) (any, []verdict, error) {
	r := &fairResult{Server: t.name, Clients: p.clients, Quiet: p.quiet}
	for run := 1; run <= p.runs; run++ {
		for _, one := range fairCases { // in turn: what changes on the machine meets both
			if p.which != "both" && p.which != one.name {
				continue
			}
			got, err := p.one(b, t.with(one.config))
			if err != nil {
				return nil, nil, fmt.Errorf("run %d, %s: %w", run, one.name, err)
			}
			got.Case = one.name
			r.Runs = append(r.Runs, got)
			fmt.Fprintf(progress, "run %d of %d, %-7s: quiet p99 %.2f ms, %.2f ms before the noise; steal %.1f %%, others %.1f %%; %d sent, %d relayed, %d refused, %d reconnects\n",
				run, p.runs, one.name, got.Noisy.P99, got.Calm.P99, got.Steal, got.Others, got.Sent, got.Relayed, got.Refused, got.Reconnect)
		}
	}
	return r, r.judge(), nil
}

// judge counts the runs of each case that hold the bar.
func (r *fairResult) judge() (out []verdict) {
	missing := 0
	for _, one := range fairCases {
		runs, hold := 0, 0
		for _, got := range r.Runs {
			if got.Case == one.name {
				runs++
				missing += got.Missing
				if got.Holds {
					hold++
				}
			}
		}
		if runs > 0 {
			out = append(out, atLeast(fmt.Sprintf("runs of %d with p99 of the quiet below %d ms, limits %s", runs, fairBar, one.name),
				float64(hold), mostOf(runs)))
		}
	}
	return append(out, exactly("events that a quiet channel missed", float64(missing), 0))
}

// mostOf is how many of n runs must hold a bar that one disturbance may break.
func mostOf(n int) float64 { return math.Ceil(fairShare*float64(n) - 1e-9) }

// disturbed is noiseSince for a time in which a server that still runs used cpu ns: that was nobody else's work.
func disturbed(start machineTimes, cpu int64) noise {
	start.own -= cpu / int64(tick)
	return noiseSince(start)
}

// one is one run with a fresh process.
func (p *fairPlan) one(b *bench, t target) (r fairRun, err error) {
	err = b.withCrowd(t, func(c *crowd) error {
		s := &scene{plan: p, b: b, c: c}
		defer s.close()
		if err := s.gather(); err != nil {
			return err
		}
		if err := s.play(p.warm); err != nil {
			return err
		}
		s.ns = nil
		if err := s.play(p.calm); err != nil {
			return err
		}
		r.Calm, s.ns = summary(s.ns), nil
		times := readMachineTimes()
		s.noise.on = true
		load := len(s.load.called)
		began := c.now()
		cpu, _, err := c.srv.used(func() error { return s.play(p.length) })
		if err != nil {
			return err
		}
		noise := disturbed(times, cpu)
		r.CPU, r.Load = float64(cpu)/float64(c.now()-began), len(s.load.called)-load
		r.Noisy, r.Steal, r.Others = summary(s.ns), noise.Steal, noise.Others
		r.Missing = len(s.quietly.called) - s.arrived
		r.Holds = r.Noisy.Receptions > 0 && r.Noisy.P99 < fairBar
		r.Sent, r.Relayed, r.Refused, r.Reconnect, r.Reason = s.noise.sent, s.noise.relayed, s.noise.refused, s.noise.reconnects, s.noise.reason
		return nil
	})
	return r, err
}

// scene is one run under way.
type scene struct {
	plan    *fairPlan
	b       *bench
	c       *crowd // of the large channel
	q       *crowd // of the quiet ones
	load    *paced
	quietly *paced
	noise   *noisemaker
	arrived int     // events on quiet channels
	ns      []int64 // their receptions
}

func quietChannel(i int) string { return fmt.Sprintf("quiet-%05d", i) }

func (s *scene) gather() (err error) {
	p, c := s.plan, s.c
	if err := c.connect(p.clients, 64); err != nil {
		return err
	}
	if _, err := c.addCalibrated(165); err != nil {
		return err
	}
	if s.load, err = newPaced(c, 4, p.rate, 1); err != nil {
		return err
	}
	if s.q, err = newCrowd(s.b.ctx, c.srv, waitSpin); err != nil {
		return err
	}
	s.q.stamped, s.q.channelOf = true, quietChannel
	s.q.onOther = s.quietEvent
	if err := s.q.connect(p.quiet, 64); err != nil {
		return fmt.Errorf("quiet channels: %w", err)
	}
	if s.quietly, err = newPaced(s.q, fairCalls, p.events, 0); err != nil {
		return err
	}
	s.quietly.shapes = spread(p.quiet, quietChannel, 165)
	if s.noise, err = newNoisemaker(s.b.ctx, c.srv); err != nil {
		return err
	}
	return nil
}

func (s *scene) close() {
	s.c.between = nil
	if s.q != nil {
		s.q.close()
	}
	if s.noise != nil {
		s.noise.ps.close()
	}
}

// quietEvent books a reception by the one subscriber of a quiet channel.
func (s *scene) quietEvent(_ *subscriber, text []byte) {
	number, ok := dataNumber(text)
	if !ok {
		return
	}
	if at, ok := s.quietly.at(number); ok {
		s.arrived++
		s.ns = append(s.ns, s.q.read-at)
	}
}

// play lets everything go on for d, then waits for what is under way on the quiet channels.
func (s *scene) play(d time.Duration) error {
	s.load.start()
	s.quietly.start()
	s.c.between = s.turn
	end := s.c.now() + int64(d)
	err := s.c.until(d+time.Minute, "load", func() bool { return s.c.now() >= end })
	s.load.stop()
	s.quietly.stop()
	if err != nil {
		return err
	}
	last := s.c.now() + int64(recoverSilence)
	return s.c.until(fairTimeout, "the last events of the quiet channels", func() bool {
		return s.load.idle() && s.quietly.idle() && (s.arrived >= len(s.quietly.called) || s.c.now() > last)
	})
}

// turn is called after every socket of the large channel.
func (s *scene) turn() error {
	if err := s.load.turn(); err != nil {
		return err
	}
	if err := s.quietly.turn(); err != nil {
		return err
	}
	if err := s.noise.turn(); err != nil {
		return err
	}
	if err := s.q.step(); err != nil {
		return err
	}
	return s.q.fault
}

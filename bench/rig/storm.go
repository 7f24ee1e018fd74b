package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"time"
)

// stormPlan is a reconnect storm: in every round all clients connect and subscribe, then all are cut off by RST.
type stormPlan struct {
	common
	target      string
	clients     int
	concurrency int // handshakes under way at once
	rounds      int
}

// stormResult is one round.
type stormResult struct {
	Server     string  `json:"server"`
	Round      int     `json:"round"`
	Subscribed int     `json:"subscribed"`
	Failed     int     `json:"failed"`
	Reason     string  `json:"reason,omitempty"`
	Seconds    float64 `json:"seconds"` // first connect to last success
	PerSecond  float64 `json:"per_second"`
	CPUMicros  float64 `json:"server_cpu_us_each"`
	CutMicros  float64 `json:"server_cpu_us_each_cut"` // to notice and clean up one connection that was cut off
	P50        float64 `json:"p50_ms"`                 // connect to success
	P99        float64 `json:"p99_ms"`
	Max        float64 `json:"max_ms"`
}

func runStorm(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	var s stormPlan
	fs := flag.NewFlagSet("rig storm", flag.ContinueOnError)
	fs.SetOutput(progress)
	s.register(fs)
	fs.StringVar(&s.target, "target", "holdfast", "server: holdfast, floor, or a name given with -compare")
	fs.IntVar(&s.clients, "n", 10000, "clients")
	fs.IntVar(&s.concurrency, "concurrency", 2000, "handshakes under way at once; above net.core.somaxconn connects are retried by the kernel after 1 s")
	fs.IntVar(&s.rounds, "rounds", 3, "rounds")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if s.clients < 1 || s.concurrency < 1 || s.rounds < 1 {
		return false, fmt.Errorf("%w: -n, -concurrency and -rounds are at least 1", errRefused)
	}
	enc := json.NewEncoder(out)
	ok := true
	err := s.one(ctx, s.target, s.clients, progress, func(c *crowd) error {
		c.tolerant = true
		for round := 1; round <= s.rounds; round++ {
			r, err := s.round(c, round)
			if err != nil {
				return err
			}
			ok = ok && r.Failed == 0
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
	return ok && err == nil, err
}

func (s *stormPlan) round(c *crowd, round int) (stormResult, error) {
	h := newHistogram()
	c.onSubscribed = func(one *subscriber, _ []byte) error {
		h.add(time.Duration(c.now() - one.opened))
		return nil
	}
	began, end := c.now(), int64(0)
	cpu, _, err := c.srv.used(func() error {
		err := c.connect(s.clients, s.concurrency)
		end = c.now()
		return err
	})
	if err != nil {
		return stormResult{}, err
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	r := stormResult{Server: c.srv.target.name, Round: round, Subscribed: c.subscribed, Failed: c.lost,
		Seconds: seconds(end - began), PerSecond: float64(c.subscribed) / seconds(end-began),
		CPUMicros: float64(cpu) / 1e3 / float64(s.clients),
		P50:       ms(h.quantile(0.5)), P99: ms(h.quantile(0.99)), Max: ms(h.max)}
	if c.fault != nil {
		r.Reason = c.fault.Error()
	}
	cut, _, err := c.srv.used(func() error { c.drop(); return c.quiet() })
	r.CutMicros = float64(cut) / 1e3 / float64(s.clients)
	return r, err
}

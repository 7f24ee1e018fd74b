package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"
)

const (
	defaultKept      = 1000      // events of a channel that holdfast keeps and lets one client recover, by default
	defaultKeptBytes = 4 << 20   // and their bytes
	groupEvents      = 64        // of a channel that holdfast's log reads at once, at most
	megabyte         = 1_000_000 // of the bar
	recoverSilence   = 10 * time.Second
	recoverLimit     = 10 * time.Minute
)

// recoverPlan is one mass return.
type recoverPlan struct {
	judged
	clients     int
	messages    int
	frameBytes  int
	others      int
	every       time.Duration
	calm        time.Duration // how long the bystanders are watched before
	settle      time.Duration // before a resident size is read
	concurrency int
	rounds      int
	cold        bool
	grace       time.Duration // after the last publish: the log moves it to its files; after the return: a duplicate would come
}

// recoverRound is what one return was like.
type recoverRound struct {
	Recovered  int            `json:"recovered"` // clients that were told recovered:true, with the right count
	Complete   int            `json:"complete"`  // clients that had every missed message
	Exact      bool           `json:"exact"`     // all of them did, each message once, in order, with the right seq and text
	Refused    map[string]int `json:"refused,omitempty"`
	Missing    int            `json:"missing"`
	Duplicates int            `json:"duplicates"`
	OutOfOrder int            `json:"out_of_order"`
	Corrupt    int            `json:"corrupt"`
	Skipped    int            `json:"skipped"` // pusher_internal:position frames: an explicit gap
	Closed     int            `json:"closed"`
	Reason     string         `json:"reason,omitempty"`
	Seconds    float64        `json:"seconds"`           // first connect to the last missed message
	Subscribed float64        `json:"seconds_to_answer"` // first connect to the last success
	CPU        float64        `json:"server_cpu_s"`
	PerSecond  float64        `json:"events_per_cpu_second"`
	Disk       float64        `json:"blocks_from_disk"`
	Memory     float64        `json:"blocks_from_memory"`
}

// recoverResult is what a mass return took.
type recoverResult struct {
	Server    string         `json:"server"`
	Clients   int            `json:"clients"`
	Messages  int            `json:"messages"`
	Cold      bool           `json:"cold"`
	Rounds    []recoverRound `json:"rounds"`
	RSSBefore float64        `json:"rss_before_mb"` // the largest of the rounds, as peak and after
	RSSPeak   float64        `json:"rss_peak_mb"`
	RSSAfter  float64        `json:"rss_after_mb"`
	Growth    float64        `json:"rss_growth_mb"` // peak over before, the largest of the rounds
	Others    int            `json:"others"`
	Before    latencies      `json:"others_before"`
	Away      latencies      `json:"others_while_away"` // the cut and the publishes
	During    latencies      `json:"others_during"`     // the return
}

func runRecover(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	p := recoverPlan{frameBytes: 165, grace: time.Second}
	fs := flag.NewFlagSet("rig recover", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	fs.IntVar(&p.clients, "n", 10000, "subscribers of the channel")
	fs.IntVar(&p.messages, "m", 1000, "events that they miss")
	fs.IntVar(&p.others, "others", 100, "well-behaved connections on another channel; 0: none")
	fs.DurationVar(&p.every, "every", 50*time.Millisecond, "time between two events of theirs")
	fs.DurationVar(&p.calm, "calm", 10*time.Second, "how long they are watched before")
	fs.DurationVar(&p.settle, "settle", 15*time.Second, "quiet time before a resident size is read")
	fs.IntVar(&p.concurrency, "concurrency", 2000, "handshakes under way at once; above net.core.somaxconn connects are retried by the kernel after 1 s")
	fs.IntVar(&p.rounds, "rounds", 1, "returns, one after the other")
	fs.BoolVar(&p.cold, "cold", false, "restart the server while they are away: nothing is in its memory then")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if p.clients < 1 || p.messages < 1 || p.concurrency < 1 || p.rounds < 1 || p.others < 0 || p.every <= 0 || fs.NArg() > 0 {
		return false, fmt.Errorf("%w: -n, -m, -concurrency, -rounds and -every are at least 1, and nothing stands behind the flags", errRefused)
	}
	return p.run(ctx, "recover", p.clients+p.others+2*bystanderCalls, out, progress, p.configure,
		func(b *bench, c *crowd) (any, []verdict, error) { return p.measure(b, c, progress) })
}

// configure leaves the defaults alone as long as they are enough.
func (p *recoverPlan) configure(t target) target {
	kept := p.messages + 2 // the first and the live one
	if p.messages <= defaultKept && kept*p.frameBytes <= defaultKeptBytes {
		return t
	}
	return t.with(fmt.Sprintf("[limits]\nrecover_events = %d\n[[history]]\nmatch = \"*\"\nevents = %d\nbytes = \"%dMiB\"\n",
		p.messages, 2*kept, max(64, 2*kept*p.frameBytes>>20)))
}

func (p *recoverPlan) measure(b *bench, c *crowd, progress io.Writer) (any, []verdict, error) {
	g := &gathering{plan: p, b: b, c: c, progress: progress}
	defer g.dismiss()
	r := &recoverResult{Server: c.srv.target.name, Clients: p.clients, Messages: p.messages, Others: p.others, Cold: p.cold}
	var before, peak, after, growth int64
	var kept [3][]int64 // receptions of the bystanders that a restart ended
	for round := 1; round <= p.rounds; round++ {
		one, m, err := g.round()
		if err != nil {
			return nil, nil, fmt.Errorf("round %d: %w", round, err)
		}
		fmt.Fprintf(progress, "round %d: %d of %d complete in %.2f s, %.2f s of CPU\n", round, one.Complete, p.clients, one.Seconds, one.CPU)
		r.Rounds = append(r.Rounds, one)
		before, peak, after = max(before, m.before), max(peak, m.peak), max(after, m.after)
		growth = max(growth, m.peak-m.before)
		for i, name := range []string{"before", "away", "during"} {
			kept[i] = append(kept[i], g.take(name)...)
		}
	}
	r.RSSBefore, r.RSSPeak = float64(before)/megabyte, float64(peak)/megabyte
	r.RSSAfter, r.Growth = float64(after)/megabyte, float64(growth)/megabyte
	r.Before, r.Away, r.During = summary(kept[0]), summary(kept[1]), summary(kept[2])
	return r, r.judge(p), nil
}

func (r *recoverResult) judge(p *recoverPlan) []verdict {
	exact, disk := 0, 0.0
	for _, one := range r.Rounds {
		if one.Exact && one.Closed == 0 {
			exact++
		}
		disk = max(disk, one.Disk)
	}
	blocks := float64((p.messages+groupEvents-1)/groupEvents + 1) // the missed run need not begin with a group
	out := []verdict{
		exactly("returns in which all had everything once, in order", float64(exact), float64(p.rounds)),
		atMost("resident size, MB more", r.Growth, 100),
		atMost("blocks read from disk", disk, blocks),
	}
	if r.Others > 0 {
		ratio := 0.0
		if r.Before.P99 > 0 {
			ratio = r.During.P99 / r.Before.P99
		}
		v := atMost("others' p99, during over before", ratio, 1.10)
		v.Pass = v.Pass && ratio > 0
		out = append(out, v)
	}
	return out
}

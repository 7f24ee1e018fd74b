package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	churnBytes  = 256              // what a connection may hold: the bar of the row "memory"
	churnShare  = 0.01             // of that may stay behind of a connection that is gone
	churnLeak   = 1.0 / 10_000     // descriptors or goroutines that may stay behind of one
	churnMargin = 20 * time.Second // beyond the heartbeat's own times, for the server to end a silent connection
	churnBack   = 30 * time.Second // after the last connection: everything is back
	churnDrain  = 10 * time.Minute
)

// churnMix: a silent connection lives for nearly three minutes by default, so few of them are many descriptors: 4 % of 500 a
// second are 3,300 at every moment.
var churnMix = mix{byClose: 30, byFIN: 22, byRST: 22, bySilence: 4, byHalf: 8, byVanishing: 14}

// churnPlan is one long coming and going.
type churnPlan struct {
	judged
	rate     float64
	duration time.Duration
	sample   time.Duration
	activity time.Duration // server.activity_timeout
	grace    time.Duration // server.ping_grace
	pong     time.Duration // server.pong_timeout
	warm     time.Duration
	lifetime time.Duration // of a connection that ends itself, at most
	seed     uint64
}

// churnReading is one look at the server.
type churnReading struct {
	Seconds     float64 `json:"s"`
	Descriptors int     `json:"descriptors"`
	Ours        int     `json:"client_sockets"` // that the rig has open
	Goroutines  int     `json:"goroutines"`
	Heap        int64   `json:"heap_bytes"`      // HeapAlloc
	HeapGoal    int64   `json:"heap_goal_bytes"` // NextGC: what the latest collection found alive, times a constant
	RSS         int64   `json:"rss_bytes"`
}

// churnResult is what was seen.
type churnResult struct {
	Server   string               `json:"server"`
	Rate     float64              `json:"connects_per_s"`
	Seconds  float64              `json:"seconds"`
	Opened   int                  `json:"opened"`
	Ended    map[string]int       `json:"ended"`
	Overdue  int                  `json:"overdue"` // not ended by the server in time
	Failed   int                  `json:"failed"`  // ended by the server before their time
	Reason   string               `json:"reason,omitempty"`
	Base     churnReading         `json:"base"`  // after a warm-up, nobody connected
	After    churnReading         `json:"after"` // nobody connected again
	Trends   map[string]trend     `json:"trends"`
	Each     map[string]churnEach `json:"left_behind_by_a_connection"`
	Readings []churnReading       `json:"readings"`
}

// churnEach is what a trend is worth a connection that came and went.
type churnEach struct {
	Certain float64 `json:"certain"` // beyond chance
	Unsure  float64 `json:"unsure"`  // what could not be seen
}

func runChurn(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	p := churnPlan{warm: 20 * time.Second, lifetime: lifetimeMost, seed: 1}
	fs := flag.NewFlagSet("rig churn", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	p.sizeFlag(fs)
	fs.Float64Var(&p.rate, "rate", 500, "connects a second, and as many ends")
	fs.DurationVar(&p.duration, "duration", 30*time.Minute, "how long")
	fs.DurationVar(&p.sample, "sample", 10*time.Second, "time between two readings")
	fs.DurationVar(&p.activity, "activity", 120*time.Second, "the server's activity_timeout: with its grace and pong times how long a silent connection lives")
	fs.DurationVar(&p.grace, "grace", 15*time.Second, "the server's ping_grace")
	fs.DurationVar(&p.pong, "pong", 30*time.Second, "the server's pong_timeout")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if p.quick {
		p.rate, p.duration, p.sample, p.warm = 100, 12*time.Second, time.Second, 2*time.Second
		p.activity, p.grace, p.pong = 10*time.Second, time.Second, 5*time.Second
	}
	if p.rate <= 0 || p.duration <= 0 || p.sample <= 0 || p.duration < 6*p.sample || fs.NArg() > 0 {
		return false, fmt.Errorf("%w: -rate and -sample are above 0, -duration is at least six samples, and nothing stands behind the flags", errRefused)
	}
	p.wait = "block"
	return p.run(ctx, "churn", p.sockets(), out, progress, p.configure,
		func(b *bench, c *crowd) (any, []verdict, error) { return p.churn(b, c.srv, churnMix, progress) })
}

// silence is how long the server may take to end a connection that has gone silent.
func (p *churnPlan) silence() time.Duration { return p.activity + p.grace + p.pong + churnMargin }

// sockets is how many are open at once, at most: by the longest life of each way.
func (p *churnPlan) sockets() int {
	share := func(ways ...closing) (s float64) {
		for _, w := range ways {
			s += float64(churnMix[w]) / 100
		}
		return s
	}
	lives := share(byClose, byFIN, byRST, byVanishing)*p.lifetime.Seconds() + share(byHalf)*10 +
		share(bySilence)*(p.lifetime+p.silence()).Seconds()
	return int(p.rate*lives) + 200
}

func (p *churnPlan) configure(t target) target {
	return t.with(fmt.Sprintf("[server]\nactivity_timeout = \"%v\"\nping_grace = \"%v\"\npong_timeout = \"%v\"\n",
		p.activity, p.grace, p.pong), "--set", "admin.pprof=true")
}

// churn measures with connections that end in the given ways.
func (p *churnPlan) churn(b *bench, srv *server, shares mix, progress io.Writer) (any, []verdict, error) {
	r := &churnResult{Server: srv.target.name, Rate: p.rate}
	t, err := newTraffic(b.ctx, srv, p.rate, shares, p.silence(), p.seed)
	if err != nil {
		return nil, nil, err
	}
	defer t.ps.close()
	t.lifetime = p.lifetime
	w := &watch{t: t, b: b, srv: srv, plan: p, r: r, progress: progress}
	if err := w.base(); err != nil {
		return nil, nil, fmt.Errorf("warm-up: %w", err)
	}
	if err := w.run(); err != nil {
		return nil, nil, err
	}
	if err := w.drain(); err != nil {
		return nil, nil, err
	}
	if err := w.settle(); err != nil {
		return nil, nil, err
	}
	r.Opened, r.Overdue, r.Failed, r.Reason = t.opened, t.overdue, t.failed, t.reason
	r.Ended = map[string]int{}
	for way, n := range t.ended {
		r.Ended[closingNames[way]] = n
	}
	return r, r.judge(), nil
}

// judge: what every connection leaves behind, and what is left when all are gone.
func (r *churnResult) judge() []verdict {
	r.Trends, r.Each = map[string]trend{}, map[string]churnEach{}
	part := laterReadings(r.Readings)
	var bars []verdict
	for _, s := range []struct {
		name, title string
		of          func(churnReading) float64
		bar         float64
	}{
		{"descriptors", "descriptors that stay behind, of a connection", func(o churnReading) float64 { return float64(o.Descriptors - o.Ours) }, churnLeak},
		{"goroutines", "goroutines that stay behind, of a connection", func(o churnReading) float64 { return float64(o.Goroutines) }, churnLeak},
		{"heap_goal", "heap bytes that stay behind, of a connection", func(o churnReading) float64 { return float64(o.HeapGoal) }, churnShare * churnBytes},
		{"rss", "resident bytes that stay behind, of a connection", func(o churnReading) float64 { return float64(o.RSS) }, churnShare * churnBytes},
	} {
		var x, y []float64
		for _, o := range part {
			x, y = append(x, o.Seconds), append(y, s.of(o))
		}
		t := trendOf(x, y)
		if t.Count < 3 {
			bars = append(bars, verdict{Name: s.title + ": too few readings", Bar: fmt.Sprintf("≤ %g", s.bar)})
			continue
		}
		r.Trends[s.name], r.Each[s.name] = t, churnEach{t.certain() / r.Rate, t.unsure() / r.Rate}
		bars = append(bars, atMost(s.title, t.certain()/r.Rate, s.bar))
	}
	return append(bars,
		exactly("descriptors afterwards more than before", float64(r.After.Descriptors-r.Base.Descriptors), 0),
		exactly("goroutines afterwards more than before", float64(r.After.Goroutines-r.Base.Goroutines), 0),
		exactly("connections that the server ended late or too soon", float64(r.Overdue+r.Failed), 0))
}

// watch is one measurement under way.
type watch struct {
	t        *traffic
	b        *bench
	srv      *server
	plan     *churnPlan
	r        *churnResult
	progress io.Writer
}

// during lets the traffic go on until a moment.
func (w *watch) during(end int64) error {
	return w.t.ps.until(w.plan.duration+churnDrain, "churn", func() (bool, error) {
		return w.t.ps.now() >= end, w.t.turn(0)
	})
}

// base lets the server do everything once, but for silence, which takes minutes, and reads what it is like with nobody.
func (w *watch) base() error {
	shares := w.t.shares
	w.t.shares[bySilence] = 0
	w.t.start()
	if err := w.during(w.t.ps.now() + int64(w.plan.warm)); err != nil {
		return err
	}
	if err := w.drain(); err != nil {
		return err
	}
	if _, err := w.reading(0); err != nil { // whatever a reading itself leaves behind is there then
		return err
	}
	if err := w.t.ps.rest(min(5*time.Second, w.plan.warm)); err != nil {
		return err
	}
	var err error
	w.r.Base, err = w.reading(0)
	w.t.shares, w.t.opened, w.t.ended = shares, 0, [closings]int{}
	return err
}

// run reads again and again while connections come and go.
func (w *watch) run() error {
	began := w.t.ps.now()
	w.t.start()
	minute := int64(time.Minute)
	for at := int64(w.plan.sample); at <= int64(w.plan.duration); at += int64(w.plan.sample) {
		if err := w.during(began + at); err != nil {
			return err
		}
		one, err := w.reading(began)
		if err != nil {
			return err
		}
		w.r.Readings = append(w.r.Readings, one)
		if at >= minute {
			minute += int64(time.Minute)
			fmt.Fprintf(w.progress, "%4.0f s: %d opened, %d open; %d descriptors, %d goroutines, heap %.1f MB, resident %.1f MB, late or too soon %d\n",
				one.Seconds, w.t.opened, one.Ours, one.Descriptors, one.Goroutines, float64(one.Heap)/megabyte, float64(one.RSS)/megabyte, w.t.overdue+w.t.failed)
		}
	}
	w.r.Seconds = seconds(w.t.ps.now() - began)
	return nil
}

// drain waits until every connection has ended in its way.
func (w *watch) drain() error {
	w.t.stop()
	return w.t.ps.until(churnDrain, "the last connections", func() (bool, error) { return w.t.ps.live == 0, w.t.turn(0) })
}

// settle reads until everything is back, or for churnBack.
func (w *watch) settle() error {
	end := w.t.ps.now() + int64(churnBack)
	for {
		if err := w.t.ps.rest(time.Second); err != nil {
			return err
		}
		one, err := w.reading(0)
		if err != nil {
			return err
		}
		w.r.After = one
		if (one.Descriptors == w.r.Base.Descriptors && one.Goroutines == w.r.Base.Goroutines) || w.t.ps.now() >= end {
			return nil
		}
	}
}

// reading looks at the server. Descriptors first: the requests that follow take some.
func (w *watch) reading(began int64) (o churnReading, err error) {
	o.Seconds, o.Ours = seconds(w.t.ps.now()-began), w.t.ps.live
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.srv.pid))
	if err != nil {
		return o, fmt.Errorf("descriptors of %s: %w", w.srv.target.name, err)
	}
	o.Descriptors = len(files)
	m, err := w.srv.memory()
	if err != nil {
		return o, err
	}
	o.RSS = m.rss
	if o.Goroutines, err = w.srv.goroutines(w.b.ctx); err != nil {
		return o, err
	}
	text, err := w.srv.fetchAdmin(w.b.ctx, "/debug/pprof/heap?debug=1")
	if err != nil {
		return o, err
	}
	if o.Heap, err = memStat(text, "HeapAlloc"); err != nil {
		return o, err
	}
	o.HeapGoal, err = memStat(text, "NextGC")
	return o, err
}

// memStat reads one of the runtime's own figures off the end of a heap profile in text form.
func memStat(profile, name string) (int64, error) {
	at := strings.LastIndex(profile, "\n# "+name+" = ")
	if at < 0 {
		return 0, fmt.Errorf("no %s in the heap profile", name)
	}
	value, _, _ := strings.Cut(profile[at+len("\n# "+name+" = "):], "\n")
	return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
}

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"
)

// fanoutBar is the bar of the row "fanout1": deliveries per CPU second over the floor's.
const fanoutBar = 0.90

// curvesPlan is how far the curves reach.
type curvesPlan struct {
	judged
	svg         string // directory; "" none
	runs        int    // of the curves of CPU time, of which the median is taken
	connections []int
	channels    []int // each is among connections, which are what it is compared with
	subscribers []int
	sizes       []int         // of the data string, bytes
	sizeCrowd   int           // subscribers of the curve of sizes
	budget      time.Duration // server CPU time for one point
	settle      time.Duration
}

// curvesBase is how many connections a server has when its memory is read first.
const curvesBase = 100

func defaultCurves() curvesPlan {
	return curvesPlan{
		runs: 3, connections: []int{1000, 2000, 4000, 8000, 12000, 16000, 18000}, channels: []int{1000, 2000, 4000, 8000, 16000},
		subscribers: []int{10, 30, 100, 300, 1000, 3000, 10000}, sizes: []int{64, 256, 1024, 4096, 16384}, sizeCrowd: 1000,
		budget: 700 * time.Millisecond, settle: 16 * time.Second,
	}
}

// curvesResult is every chart by the name of its file.
type curvesResult struct {
	Server string            `json:"server"`
	Charts map[string]*chart `json:"charts"`
	Files  []string          `json:"files,omitempty"`
}

// Names of the charts.
const (
	curveMemory      = "memory-connections"
	curveHandshake   = "handshake-connections"
	curveChannels    = "memory-channels"
	curveSubscribers = "deliveries-subscribers"
	curveSizes       = "delivery-size"
)

func newCurvesResult(server string) *curvesResult {
	return &curvesResult{Server: server, Charts: map[string]*chart{
		curveMemory:      {Title: "Resident memory of a connection", X: "connections", Y: "bytes, each", LogX: true},
		curveHandshake:   {Title: "CPU of a handshake and subscribe", X: "connections that are open already", Y: "µs of the server's CPU"},
		curveChannels:    {Title: "Resident memory of a channel with one subscriber", X: "channels", Y: "bytes, each", LogX: true},
		curveSubscribers: {Title: "Deliveries, one message at a time", X: "subscribers of the channel", Y: "deliveries a CPU second", LogX: true, LogY: true},
		curveSizes:       {Title: "CPU of a delivery", X: "bytes of the event's data", Y: "µs of the server's CPU", LogX: true},
	}}
}

func runCurves(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	p := defaultCurves()
	fs := flag.NewFlagSet("rig curves", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	p.sizeFlag(fs)
	fs.StringVar(&p.svg, "svg", "", "write the pictures into this directory (docs/curves)")
	fs.IntVar(&p.runs, "runs", p.runs, "runs of the curves of CPU time, each with fresh processes; the median counts")
	fs.DurationVar(&p.budget, "cpu", p.budget, "server CPU time of one point")
	fs.DurationVar(&p.settle, "settle", p.settle, "quiet time before a resident size is read")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if p.quick {
		p.runs, p.budget, p.settle = 1, 50*time.Millisecond, 200*time.Millisecond
		p.connections, p.channels, p.subscribers, p.sizes, p.sizeCrowd = []int{200, 400, 800}, []int{200, 400}, []int{10, 100, 300}, []int{64, 1024, 16384}, 100
	}
	if p.runs < 1 || p.budget <= 0 || p.settle < 0 || fs.NArg() > 0 {
		return false, fmt.Errorf("%w: -runs is at least 1, -cpu above 0, and nothing stands behind the flags", errRefused)
	}
	most := max(slices.Max(p.connections), slices.Max(p.subscribers)) + 8
	return p.session(ctx, "curves", most, out, progress, []string{"floor"}, func(b *bench, ts []target) (any, []verdict, error) {
		return p.measure(b, ts, progress)
	})
}

func (p *curvesPlan) measure(b *bench, ts []target, progress io.Writer) (any, []verdict, error) {
	r := newCurvesResult(ts[len(ts)-1].name)
	for _, t := range ts { // floor, target
		if t.ours() {
			t = t.with("[limits]\nevent_data_bytes = \"32KiB\"\n")
		}
		for _, one := range []struct {
			what    string
			measure func(*bench, target) (map[string][]point, error)
			runs    int
		}{{"connections and channels", p.memory, 1}, {"subscribers", p.fanout, p.runs}, {"sizes", p.delivery, p.runs}} {
			began := time.Now()
			lines, err := medianOf(one.runs, func() (map[string][]point, error) { return one.measure(b, t) })
			if err != nil {
				return nil, nil, fmt.Errorf("%s, %s: %w", t.name, one.what, err)
			}
			for name, points := range lines {
				r.Charts[name].Lines = append(r.Charts[name].Lines, line{t.name, points})
			}
			fmt.Fprintf(progress, "%-10s %-25s %5.1f s\n", t.name, one.what, time.Since(began).Seconds())
		}
	}
	if err := p.write(r, progress); err != nil {
		return nil, nil, err
	}
	return r, r.judge(), nil
}

// medianOf is the median of every point of several runs, which have the same points.
func medianOf(runs int, measure func() (map[string][]point, error)) (map[string][]point, error) {
	var all []map[string][]point
	for range runs {
		one, err := measure()
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	out := map[string][]point{}
	for name, points := range all[0] {
		for i, p := range points {
			var ys []float64
			for _, one := range all {
				ys = append(ys, one[name][i].Y)
			}
			slices.Sort(ys)
			out[name] = append(out[name], point{p.X, (ys[(len(ys)-1)/2] + ys[len(ys)/2]) / 2})
		}
	}
	return out, nil
}

// write stores the pictures.
func (p *curvesPlan) write(r *curvesResult, progress io.Writer) error {
	if p.svg == "" {
		return nil
	}
	id, dirty := commit(p.root)
	h := readHost()
	footer := fmt.Sprintf("commit %.12s%s, %s, Linux %s, %d × %s", id, map[bool]string{true: " with changes"}[dirty], h.Go, h.Kernel, h.CPUs, h.CPU)
	if p.quick {
		footer = "SMOKE TEST, no figures: " + footer
	}
	for name, c := range r.Charts {
		c.Footer = footer
		path, err := c.write(p.svg, name)
		if err != nil {
			return err
		}
		r.Files = append(r.Files, filepath.Base(path))
		fmt.Fprintln(progress, "written:", path)
	}
	slices.Sort(r.Files)
	return nil
}

// last is the last point of a server's line; ok is false when it has none.
func (c *chart) last(server string) (p point, ok bool) {
	for _, l := range c.Lines {
		if l.Name == server && len(l.Points) > 0 {
			return l.Points[len(l.Points)-1], true
		}
	}
	return point{}, false
}

// judge compares the far end of each curve with the bar that the table has for the same figure. That of sizes is the
// bar of the fan-out row, turned over: it counts CPU per delivery instead of deliveries per CPU.
func (r *curvesResult) judge() (out []verdict) {
	own := func(name, title string, bar float64) {
		if p, ok := r.Charts[name].last(r.Server); ok {
			out = append(out, atMost(fmt.Sprintf("%s at %s", title, tickText(p.X)), p.Y, bar))
		}
	}
	ratio := func(name, title string, bar func(string, float64) verdict) {
		p, ok := r.Charts[name].last(r.Server)
		floor, ok2 := r.Charts[name].last("floor")
		if ok && ok2 && floor.Y > 0 {
			out = append(out, bar(fmt.Sprintf("%s at %s, over the floor's", title, tickText(p.X)), p.Y/floor.Y))
		}
	}
	own(curveMemory, "resident bytes a connection", 256)
	own(curveChannels, "resident bytes a channel", 320)
	ratio(curveHandshake, "CPU per handshake", func(n string, v float64) verdict { return atMost(n, v, 1.5) })
	ratio(curveSubscribers, "deliveries per CPU second", func(n string, v float64) verdict { return atLeast(n, v, fanoutBar) })
	ratio(curveSizes, "CPU per delivery", func(n string, v float64) verdict {
		bar := atMost(n, v, 1/fanoutBar)
		bar.Bar = fmt.Sprintf("≤ 1/%.2f", fanoutBar)
		return bar
	})
	return out
}

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// runAll measures the rows of the plan and prints the table. It reports whether every bar was reached.
func runAll(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	p, err := parsePlan(args, progress)
	if err != nil {
		return false, err
	}
	cpus, err := pin(p.serverCPU, p.clientCPU)
	if err != nil {
		return false, err
	}
	h := readHost() // before anything is built: that would be load of our own making
	if err := checkHost(h, p.sockets(), p.Force || p.Quick); err != nil {
		return false, err
	}
	ts, clean, err := p.targets(progress, p.Servers...)
	if err != nil {
		return false, err
	}
	defer clean()

	r := newReport(p, h, cpus, ts)
	b := &bench{ctx: ctx, plan: p, cpus: cpus}
	start := readMachineTimes()
	for _, e := range experiments {
		if !slices.ContainsFunc(e.rows, b.wants) {
			continue
		}
		if err := b.passes(e, ts, r, progress); err != nil {
			return false, err
		}
	}
	r.finish(noiseSince(start))
	r.print(out)
	if p.JSON != "" {
		path, err := r.write(p.JSON)
		if err != nil {
			return false, err
		}
		fmt.Fprintln(progress, "written:", path)
	}
	return r.Pass, nil
}

// passes runs one experiment: every server in turn, the first pass discarded. A server that fails is left out of the
// passes that follow, and its row shows why; only an interruption ends the whole measurement.
func (b *bench) passes(e experiment, ts []target, r *report, progress io.Writer) error {
	failed := map[string]bool{}
	for pass := range e.runs(b.plan) + 1 {
		for _, t := range ts {
			if failed[t.name] || (e.only != nil && !e.only(t)) {
				continue
			}
			began, ticks := time.Now(), readMachineTimes()
			samples, err := e.measure(b, t)
			if b.ctx.Err() != nil {
				return b.ctx.Err()
			}
			label := fmt.Sprintf("%-10s pass %d of %d  %-10s", e.rows[0], pass, e.runs(b.plan), t.name)
			if err != nil {
				failed[t.name] = true
				fmt.Fprintf(progress, "%s failed: %v\n", label, err)
				for _, name := range e.rows {
					r.fail(name, t.name, err)
				}
				continue
			}
			disturbed := noiseSince(ticks)
			text := ""
			for _, name := range e.rows {
				s, ok := samples[name]
				if !ok || !b.wants(name) {
					continue
				}
				if s.missing != nil {
					text += fmt.Sprintf("  %s: %v", name, s.missing)
					r.fail(name, t.name, s.missing)
					continue
				}
				s.Noise = disturbed
				text += fmt.Sprintf("  %s %s", name, r.row(name).format(s.Value))
				if pass > 0 {
					r.add(name, t.name, s)
				}
			}
			if pass == 0 {
				text += "  (discarded)"
			}
			fmt.Fprintf(progress, "%s %5.1f s  steal %.1f %%  others %.1f %% %s\n", label, time.Since(began).Seconds(), disturbed.Steal, disturbed.Others, text)
		}
	}
	return nil
}

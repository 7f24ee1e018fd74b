package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// judged is a command that measures one holdfast by itself, has bars of its own, and writes a result file.
type judged struct {
	common
	target string
	force  bool
	quick  bool   // a smoke test: a busy machine will do, and the result says so; of the commands that have sizeFlag
	json   string // directory for the result file; "" none
}

func (j *judged) register(fs *flag.FlagSet) {
	j.common.register(fs)
	fs.StringVar(&j.target, "target", "holdfast", "server: holdfast, or the name of a holdfast binary given with -compare")
	fs.BoolVar(&j.force, "force", false, "measure on a busy machine too; the result says so")
	fs.StringVar(&j.json, "json", "", "write the result into this directory too, as COMMAND-<date>.json")
}

// verdict is one bar and what was reached.
type verdict struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Bar   string  `json:"bar"`
	Pass  bool    `json:"pass"`
}

// atMost is the verdict of a value that may not be above a bar.
func atMost(name string, value, bar float64) verdict {
	return verdict{Name: name, Value: value, Bar: fmt.Sprintf("≤ %g", bar), Pass: value <= bar}
}

// atLeast is the verdict of a value that may not be below a bar.
func atLeast(name string, value, bar float64) verdict {
	return verdict{Name: name, Value: value, Bar: fmt.Sprintf("≥ %g", bar), Pass: value >= bar}
}

// exactly is the verdict of a value that must be what was wanted.
func exactly(name string, value, want float64) verdict {
	return verdict{Name: name, Value: value, Bar: fmt.Sprintf("= %g", want), Pass: value == want}
}

// document is the result file of a judged command.
type document struct {
	circumstances
	Command string    `json:"command"`
	Result  any       `json:"result"`
	Bars    []verdict `json:"bars"`
	Pass    bool      `json:"pass"`
}

// sizeFlag gives a command the flag that makes it a smoke test.
func (j *judged) sizeFlag(fs *flag.FlagSet) {
	fs.BoolVar(&j.quick, "quick", false, "smoke test: seconds instead of minutes, figures mean nothing")
}

// run measures: work gets a fresh process of the target, changed by configure, and at most sockets client sockets.
func (j *judged) run(ctx context.Context, command string, sockets int, out, progress io.Writer, configure func(target) target,
	work func(b *bench, c *crowd) (any, []verdict, error)) (bool, error) {
	return j.session(ctx, command, sockets, out, progress, nil, func(b *bench, ts []target) (result any, bars []verdict, err error) {
		err = b.withCrowd(configure(ts[0]), func(c *crowd) (err error) {
			result, bars, err = work(b, c)
			return err
		})
		return result, bars, err
	})
}

// session is run for work that starts its processes itself. It gets the servers named in beside, then the target.
func (j *judged) session(ctx context.Context, command string, sockets int, out, progress io.Writer, beside []string,
	work func(b *bench, ts []target) (any, []verdict, error)) (bool, error) {
	if err := j.check(); err != nil {
		return false, err
	}
	cpus, err := pin(j.serverCPU, j.clientCPU)
	if err != nil {
		return false, err
	}
	h := readHost()
	if err := checkHost(h, sockets, j.force || j.quick); err != nil {
		return false, err
	}
	ts, clean, err := j.targets(progress, append(beside, j.target)...)
	if err != nil {
		return false, err
	}
	defer clean()
	if !ts[len(ts)-1].ours() {
		return false, fmt.Errorf("%w: rig %s knows holdfast's doors only: -target is holdfast, or a holdfast binary of -compare", errRefused, command)
	}
	d := document{circumstances: newCircumstances(h, j.common, cpus), Command: command}
	if j.quick {
		d.Doubts = append(d.Doubts, "smoke test: too little work for a figure")
	}
	b := &bench{ctx: ctx, plan: plan{common: j.common}, cpus: cpus}
	start := readMachineTimes()
	d.Result, d.Bars, err = work(b, ts)
	if err != nil {
		return false, err
	}
	d.finish(noiseSince(start))
	d.Pass = true
	for _, v := range d.Bars {
		d.Pass = d.Pass && v.Pass
	}
	return d.Pass, errors.Join(d.print(out), d.store(j.json, progress))
}

// tabled is a result that a person can read; its JSON form is for the file.
type tabled interface{ print(out io.Writer) }

// print writes the result, as JSON unless it is tabled, and the verdicts as a table below it.
func (d *document) print(out io.Writer) error {
	if r, ok := d.Result.(tabled); ok {
		d.headline(out, d.Command)
		r.print(out)
	} else {
		b, err := indented(d.Result)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\n", b)
	}
	for _, doubt := range d.Doubts {
		fmt.Fprintln(out, "NOT TRUSTED:", doubt)
	}
	table := [][]string{{"bar of rig " + d.Command, "reached", "bar", "verdict"}}
	for _, v := range d.Bars {
		text := "pass"
		if !v.Pass {
			text = "FAIL"
		}
		value := strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", v.Value), "0"), ".")
		table = append(table, []string{v.Name, value, v.Bar, text})
	}
	printTable(out, table)
	return nil
}

func (d *document) store(dir string, progress io.Writer) error {
	if dir == "" {
		return nil
	}
	path, err := writeResult(dir, d.Command, d.Date, d)
	if err == nil {
		fmt.Fprintln(progress, "written:", path)
	}
	return err
}

// circumstances are what a reader of a result file needs to judge it.
type circumstances struct {
	Date    string   `json:"date"` // RFC 3339, UTC
	Commit  string   `json:"commit"`
	Dirty   bool     `json:"dirty"`             // the tree had changes that the commit does not hold
	Against string   `json:"against,omitempty"` // the commit of the server "before"
	Machine host     `json:"machine"`
	CPUs    [2]int   `json:"server_and_client_cpu"`
	Noise   noise    `json:"noise"`   // over all runs
	Trusted bool     `json:"trusted"` // false: see doubts
	Doubts  []string `json:"doubts,omitempty"`
	Client  string   `json:"client_wait"`
}

func newCircumstances(h host, c common, at cpus) circumstances {
	o := circumstances{Date: time.Now().UTC().Format(time.RFC3339), Machine: h, CPUs: [2]int{at.server, at.client}, Client: c.wait}
	if len(h.Load) > 0 && h.Load[0] > maxLoad {
		o.Doubts = append(o.Doubts, fmt.Sprintf("1-minute load was %.2f at the start, above %.1f", h.Load[0], maxLoad))
	}
	o.Commit, o.Dirty = commit(c.root)
	o.Against = c.commit
	return o
}

// headline says what was measured where.
func (o *circumstances) headline(out io.Writer, what string) {
	dirty := ""
	if o.Dirty {
		dirty = " with changes"
	}
	fmt.Fprintf(out, "\nholdfast %s  %s  commit %.12s%s  %s  Linux %s  %d × %s\n", what, o.Date, o.Commit, dirty, o.Machine.Go, o.Machine.Kernel, o.Machine.CPUs, o.Machine.CPU)
}

// finish takes in what disturbed the measurement.
func (o *circumstances) finish(n noise) {
	o.Noise = n
	if n.Others > maxOthers {
		o.Doubts = append(o.Doubts, fmt.Sprintf("other processes used %.1f %% of the machine, above %d %%", n.Others, maxOthers))
	}
	o.Trusted = len(o.Doubts) == 0
}

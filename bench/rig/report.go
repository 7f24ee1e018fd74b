package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// report is all that was measured; its JSON form is the result file.
type report struct {
	circumstances
	Plan plan         `json:"plan"`
	Rows []*rowResult `json:"rows"`
	Pass bool         `json:"pass"`

	servers []string // in order of the table's columns
}

// rowResult is one line of the table.
type rowResult struct {
	row     row
	Name    string             `json:"name"`
	Title   string             `json:"title"`
	Unit    string             `json:"unit"`
	Bar     string             `json:"bar"`
	Servers map[string]*figure `json:"servers"`
	Pass    bool               `json:"pass"`
}

// figure is what one server reached in one row.
type figure struct {
	Median float64  `json:"median"`
	Spread float64  `json:"spread_percent"`  // (largest − smallest) / median
	Ratio  float64  `json:"ratio,omitempty"` // to the floor's median
	Failed string   `json:"failed,omitempty"`
	Runs   []sample `json:"runs"`
}

func newReport(p plan, h host, c cpus, ts []target) *report {
	r := &report{circumstances: newCircumstances(h, p.common, c), Plan: p}
	if p.Quick {
		r.Doubts = append(r.Doubts, "smoke test: too little work for a figure")
	}
	for _, t := range ts {
		r.servers = append(r.servers, t.name)
	}
	for _, w := range rows {
		if slices.Contains(p.Rows, w.name) {
			r.Rows = append(r.Rows, &rowResult{row: w, Name: w.name, Title: w.title, Unit: w.unit, Bar: w.bar.String(), Servers: map[string]*figure{}})
		}
	}
	return r
}

func (r *report) row(name string) row {
	return rows[slices.IndexFunc(rows, func(w row) bool { return w.name == name })]
}

func (w row) format(v float64) string {
	s := fmt.Sprintf("%.*f", w.digits, v)
	whole, frac, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if frac != "" {
		whole += "." + frac
	}
	return whole
}

// figure is where the samples of a server go; nil when the row is not in the plan.
func (r *report) figure(name, server string) *figure {
	for _, w := range r.Rows {
		if w.Name == name {
			if w.Servers[server] == nil {
				w.Servers[server] = &figure{}
			}
			return w.Servers[server]
		}
	}
	return nil
}

func (r *report) add(name, server string, s sample) {
	f := r.figure(name, server)
	f.Runs = append(f.Runs, s)
}

func (r *report) fail(name, server string, err error) {
	if f := r.figure(name, server); f != nil {
		f.Failed, _, _ = strings.Cut(err.Error(), "\n")
	}
}

// finish computes medians, ratios and verdicts; n is what disturbed the measurement. Without holdfast among the servers
// there is nothing to judge.
func (r *report) finish(n noise) {
	r.circumstances.finish(n)
	r.Pass = true
	for _, w := range r.Rows {
		for _, f := range w.Servers {
			f.summarise()
		}
		floor, mine := w.Servers["floor"], w.Servers["holdfast"]
		for name, f := range w.Servers {
			if name != "floor" && floor.usable() && f.usable() && floor.Median > 0 {
				f.Ratio = f.Median / floor.Median
			}
		}
		if !w.row.bar.any() { // nothing to reach, but a run that failed
			w.Pass = mine == nil || mine.Failed == ""
			r.Pass = r.Pass && w.Pass
			continue
		}
		w.Pass = mine.usable() && (!w.row.bar.relative() || mine.Ratio > 0) && w.row.bar.reached(mine.Median, mine.Ratio)
		r.Pass = r.Pass && (w.Pass || !r.judged())
	}
}

func (r *report) judged() bool { return slices.Contains(r.servers, "holdfast") }

func (f *figure) usable() bool { return f != nil && f.Failed == "" && len(f.Runs) > 0 }

func (f *figure) summarise() {
	if !f.usable() {
		return
	}
	values := make([]float64, len(f.Runs))
	for i, s := range f.Runs {
		values[i] = s.Value
	}
	slices.Sort(values)
	n := len(values)
	f.Median = median(values)
	if f.Median != 0 {
		f.Spread = 100 * (values[n-1] - values[0]) / math.Abs(f.Median)
	}
}

// print writes the table.
func (r *report) print(out io.Writer) {
	r.headline(out, "bench")
	fmt.Fprintf(out, "server on CPU %d, client (%s) on CPU %d; median of %d runs (memory %d), first pass discarded; steal %.1f %%, other processes %.1f %%\n",
		r.CPUs[0], r.Client, r.CPUs[1], r.Plan.Runs, r.Plan.MemoryRuns, r.Noise.Steal, r.Noise.Others)
	for _, d := range r.Doubts {
		fmt.Fprintln(out, "NOT TRUSTED:", d)
	}
	header := []string{"row"}
	for _, s := range r.servers {
		header = append(header, s, "±%")
		if s != "floor" {
			header = append(header, "ratio")
		}
	}
	table := [][]string{append(header, "bar", "verdict")}
	for _, w := range r.Rows {
		line := []string{w.Title + ", " + w.Unit}
		for _, s := range r.servers {
			line = append(line, w.cells(s)...)
		}
		verdict := "pass"
		switch {
		case !r.judged():
			verdict = "–"
		case !w.Pass:
			verdict = "FAIL"
		case !w.row.bar.any():
			verdict = "–"
		}
		table = append(table, append(line, w.Bar, verdict))
	}
	printTable(out, table)
	for _, w := range r.Rows {
		for _, s := range r.servers {
			if f := w.Servers[s]; f != nil && f.Failed != "" {
				fmt.Fprintf(out, "%s, %s: %s\n", w.Name, s, f.Failed)
			}
		}
	}
}

// cells are figure, spread and, but for the floor, ratio of one server.
func (w *rowResult) cells(server string) []string {
	out := []string{"–", ""}
	f := w.Servers[server]
	if f != nil && f.Failed != "" {
		out[0] = "failed"
	}
	if f.usable() {
		out = []string{w.row.format(f.Median), fmt.Sprintf("%.1f", f.Spread)}
	}
	if server == "floor" {
		return out
	}
	ratio := "–"
	if f.usable() && f.Ratio > 0 && w.row.bar.relative() {
		ratio = fmt.Sprintf("%.3f", f.Ratio)
	}
	return append(out, ratio)
}

// printTable aligns the columns: the first to the left, the others to the right.
func printTable(out io.Writer, table [][]string) {
	width := make([]int, len(table[0]))
	for _, line := range table {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range table {
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprint(out, cell, pad)
			} else {
				fmt.Fprint(out, "  ", pad, cell)
			}
		}
		fmt.Fprintln(out)
	}
}

// write stores the report as bench-<date>.json in dir.
func (r *report) write(dir string) (string, error) { return writeResult(dir, "bench", r.Date, r) }

// writeResult stores v as <kind>-<date>.json in dir, with a number behind the date when that day has one already.
func writeResult(dir, kind, date string, v any) (string, error) {
	b, err := indented(v)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for i := 1; ; i++ {
		name := kind + "-" + date[:10]
		if i > 1 {
			name += fmt.Sprintf("-%d", i)
		}
		path := filepath.Join(dir, name+".json")
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if os.IsExist(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = f.Write(append(b, '\n'))
		if closed := f.Close(); err == nil {
			err = closed
		}
		return path, err
	}
}

func indented(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }

// median of values, of which there is one at least.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// report is the result file.
type report struct {
	circumstances
	Guest         *guest             `json:"guest"`
	GuestMemory   int64              `json:"guest_memory_bytes"`
	DoctorVerdict string             `json:"doctor_verdict"`
	Figures       *figures           `json:"figures"`
	Slabs         map[string]float64 `json:"kernel_slab_bytes_by_name"` // the server's half, a connection; from one byte on
	Bars          []verdict          `json:"bars"`
	Pass          bool               `json:"pass"`
	Doctor        json.RawMessage    `json:"doctor"`
	Load          json.RawMessage    `json:"load"`
	Samples       []*sample          `json:"samples"` // the labelled ones
}

// circumstances are those of the judging host.
type circumstances struct {
	Date   string `json:"date"` // RFC 3339, UTC
	Commit string `json:"commit"`
	Dirty  bool   `json:"dirty"` // the tree had changes that the commit does not hold
	CPU    string `json:"host_cpu"`
}

// verdict is one bar and what was reached.
type verdict struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Bar   string  `json:"bar"` // "": a figure only
	Pass  bool    `json:"pass"`
}

func newReport(all *records, f *figures, doctor string) *report {
	r := &report{Guest: all.guest, GuestMemory: all.labelled[labelBefore].Memory["MemTotal"], DoctorVerdict: doctor, Figures: f, Doctor: all.doctor, Load: all.load,
		Slabs: map[string]float64{}}
	before, idle := all.labelled[labelBefore], all.labelled[labelIdle]
	for name, bytes := range idle.Slabs {
		if each := float64(bytes-before.Slabs[name]) / 2 / float64(all.guest.Connections); each >= 1 {
			r.Slabs[name] = math.Round(each*10) / 10
		}
	}
	for _, label := range []string{labelBefore, labelOpened, labelIdle, labelAfter} {
		r.Samples = append(r.Samples, all.labelled[label])
	}
	r.Bars = f.bars(all.guest.Connections)
	r.Pass = true
	for _, b := range r.Bars {
		r.Pass = r.Pass && b.Pass
	}
	return r
}

// bars are the lines of the table.
func (f *figures) bars(wanted int) []verdict {
	figure := func(name string, value float64, unit string) verdict { return verdict{name, value, unit, "", true} }
	atMost := func(name string, value, bar float64, unit string) verdict {
		return verdict{name, value, unit, fmt.Sprintf("≤ %g", bar), value <= bar}
	}
	exactly := func(name string, value, bar int64, unit string) verdict {
		return verdict{name, float64(value), unit, fmt.Sprintf("= %d", bar), value == bar}
	}
	memory := func(name string, value, bar float64, unit string) verdict {
		if wanted < fullSize {
			return figure(name, value, unit)
		}
		return atMost(name, value, bar, unit)
	}
	prediction := memory("doctor's prediction is off by", math.Abs(f.PredictionOff), predictionBar, "%")
	return []verdict{
		exactly("subscribed connections, kept to the end", f.Connections, int64(wanted), ""),
		exactly("lost connections", f.Lost, 0, ""),
		memory("memory of the process a connection, all in", f.OwnBytes, ownBar, "B"),
		figure("  of these, added by connections", f.OwnGrowth, "B"),
		figure("  after the broadcast", f.OwnAfter, "B"),
		figure("  at its peak", f.OwnPeak, "B"),
		figure("kernel memory a connection, server's side", f.KernelBytes, "B"),
		figure("  of these, in slabs", f.KernelSlabs, "B"),
		memory("process and kernel a connection", f.AllInBytes, allInBar, "B"),
		figure("  doctor had predicted", f.Predicted, "B"),
		prediction,
		figure("connected in", f.ConnectSeconds, "s"),
		figure("  that is", f.ConnectRate, "/s"),
		figure("  CPU of the server for each", f.ConnectCPU, "µs"),
		exactly("received the broadcast", f.Received, int64(wanted), ""),
		exactly("  missing or doubled", f.NotOnce, 0, ""),
		figure("  the last of them after", f.Broadcast, "s"),
		figure("CPU of the idle server", f.IdleCPU, "s"),
		figure("  in", f.IdleSeconds, "s"),
		figure("  that is, of one processor", f.IdleShare, "%"),
	}
}

// print writes the table.
func (r *report) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d connections to one holdfast; guest with Linux %s, %.1f GB, %d CPUs; seconds are the guest's\n\n", r.Guest.Connections, r.Guest.Kernel,
		float64(r.GuestMemory)/1e9, r.Guest.CPUs)
	for _, v := range r.Bars {
		mark := ""
		switch {
		case v.Bar != "" && v.Pass:
			mark = "ok"
		case !v.Pass:
			mark = "MISSED"
		}
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("%-44s %14s %-3s %-11s %s", v.Name, format(v.Value), v.Unit, v.Bar, mark), " "))
	}
	if r.Guest.Connections < fullSize {
		fmt.Fprintf(&b, "\nMemory is judged from %d connections on: before, the process without any is most of it.\n", fullSize)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// format keeps four digits of small values.
func format(v float64) string {
	digits := 0
	switch a := math.Abs(v); {
	case v == math.Trunc(v):
	case a < 10:
		digits = 3
	case a < 100:
		digits = 2
	case a < 1000:
		digits = 1
	}
	text := fmt.Sprintf("%.*f", digits, v)
	whole, rest, dot := strings.Cut(text, ".")
	for at := len(whole) - 3; at > 0 && whole[at-1] != '-'; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	if dot {
		whole += "." + rest
	}
	return whole
}

// write makes the result file and returns its name.
func (r *report) write(dir string) (string, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "million-"+r.Date[:len(time.DateOnly)]+".json")
	return file, os.WriteFile(file, append(text, '\n'), 0o644)
}

// readCircumstances asks git, in whose tree judge runs.
func readCircumstances() circumstances {
	c := circumstances{Date: time.Now().UTC().Format(time.RFC3339), Commit: "unknown", CPU: "unknown"}
	if out, err := exec.Command("git", "rev-parse", "HEAD").Output(); err == nil {
		c.Commit = strings.TrimSpace(string(out))
		status, err := exec.Command("git", "status", "--porcelain").Output()
		c.Dirty = err != nil || len(status) > 0
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			c.CPU = strings.TrimSpace(value)
			break
		}
	}
	return c
}

package tuning

import (
	"encoding/json"
	"fmt"
	"io"
)

// DoctorOptions says what the host is checked for.
type DoctorOptions struct {
	// Connections to plan for, 1 to 100,000,000. 0 = 1,000,000.
	Connections int
	// AcceptRate is admission.accept_rate, connects per second. 0 = 5,000.
	AcceptRate int
	// JSON prints one JSON object instead of text.
	JSON bool
	// WriteSysctl is the sysctl.d file to write, "" for none. A name outside the
	// directories that the boot reads is written all the same.
	WriteSysctl string
}

// report is the whole answer of Doctor, and its JSON form.
type report struct {
	Connections uint64        `json:"connections"`
	Verdict     verdict       `json:"verdict"` // the worst of the checks
	Checks      []finding     `json:"checks"`
	Memory      bill          `json:"memory"`
	Sysctl      *sysctlReport `json:"sysctl,omitempty"`
}

// sysctlReport tells what became of WriteSysctl.
type sysctlReport struct {
	Path     string   `json:"path"`
	Written  bool     `json:"written"`
	Error    string   `json:"error,omitempty"`
	Notes    []string `json:"notes,omitempty"` // later files that win over ours
	commands string
}

// Doctor checks the host for a number of connections, prints the findings and
// the memory bill to out, and writes the sysctl file if asked. It returns the
// exit code: 0 all ok; 1 something to warn of or unknown; 2 a check failed,
// the options make no sense, or the file was not written.
func Doctor(o DoctorOptions, out io.Writer) (exitCode int) {
	return doctor(liveHost(), o, out)
}

func doctor(h host, o DoctorOptions, out io.Writer) (exitCode int) {
	n, err := planFor(h, o)
	if err != nil {
		fmt.Fprintln(out, "fail:", err)
		return 2
	}
	r := report{Connections: n.connections, Checks: runChecks(h, n), Memory: n.bill(h)}
	for _, f := range r.Checks {
		r.Verdict = max(r.Verdict, f.Verdict)
	}
	if o.WriteSysctl != "" {
		r.Sysctl = writeSysctl(h, n, o.WriteSysctl)
	}
	if o.JSON {
		printJSON(out, r)
	} else {
		printText(out, r)
	}
	return r.exitCode()
}

func planFor(h host, o DoctorOptions) (need, error) {
	if o.Connections == 0 {
		o.Connections = defaultConnections
	}
	if o.AcceptRate <= 0 {
		o.AcceptRate = defaultAcceptRate
	}
	if o.Connections < 0 || o.Connections > maxConnections {
		return need{}, ErrConnections
	}
	return need{
		connections: uint64(o.Connections),
		acceptRate:  uint64(o.AcceptRate),
		ram:         h.ram(),
		pageSize:    h.pageSize,
	}, nil
}

func (r report) exitCode() int {
	switch {
	case r.Verdict == verdictFail, r.Sysctl != nil && !r.Sysctl.Written:
		return 2
	case r.Verdict != verdictOK:
		return 1
	default:
		return 0
	}
}

func printJSON(out io.Writer, r report) {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	// The report holds numbers and strings only: encoding it cannot fail, and an
	// output that cannot be written to has no reader to tell.
	_ = e.Encode(r)
}

func printText(out io.Writer, r report) {
	fmt.Fprintf(out, "host checks for %d connections\n", r.Connections)
	for _, f := range r.Checks {
		fmt.Fprintln(out, f)
	}
	fmt.Fprintf(out, "\nmemory for %d connections\n", r.Connections)
	for _, item := range r.Memory.Items {
		fmt.Fprintf(out, "%12s  %s\n", showBytes(item.Bytes), item.Name)
	}
	fmt.Fprintf(out, "%12s  in all\n", showBytes(r.Memory.Total))
	if r.Memory.Ceiling > 0 {
		fmt.Fprintf(out, "%12s  there is, by %s\n", showBytes(r.Memory.Ceiling), r.Memory.Source)
	}
	if s := r.Sysctl; s != nil {
		fmt.Fprintln(out)
		if s.Error != "" {
			fmt.Fprintf(out, "fail: %s not written: %s\n", s.Path, s.Error)
		} else {
			fmt.Fprintf(out, "ok: wrote %s. Run: %s\n", s.Path, s.commands)
		}
		for _, note := range s.Notes {
			fmt.Fprintln(out, "warn:", note)
		}
	}
	fmt.Fprintf(out, "\nverdict: %s\n", r.Verdict)
}

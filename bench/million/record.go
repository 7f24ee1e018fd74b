package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// recordMark begins a line of the console that is a record.
const recordMark = "million "

// record is one line. Exactly the body of its kind is there.
type record struct {
	Kind   string          `json:"kind"` // guest, doctor, sample, load, end
	Guest  *guest          `json:"guest,omitempty"`
	Doctor json.RawMessage `json:"doctor,omitempty"` // what holdfast doctor --json said
	Sample *sample         `json:"sample,omitempty"`
	Load   json.RawMessage `json:"load,omitempty"` // what holdfast bench connect --json said
	End    *ending         `json:"end,omitempty"`
}

// guest is what was measured and where. Its first record.
type guest struct {
	Connections int           `json:"connections"`
	Kernel      string        `json:"kernel"`
	CommandLine string        `json:"kernel_command_line"`
	CPUs        int           `json:"cpus"`
	Go          string        `json:"go"` // that holdfast was built with
	Server      []string      `json:"server_flags"`
	Client      []string      `json:"client_flags"`
	Hold        time.Duration `json:"hold_ns"`
}

// The samples that figures are made of; the others have no label.
const (
	labelBefore = "before" // the server serves, nobody is connected
	labelOpened = "opened" // all are subscribed, and the settle time has passed
	labelIdle   = "idle"   // one heartbeat later
	labelAfter  = "after"  // all that was broadcast has come
)

// sample is one look at the guest. Bytes, and seconds of the guest.
type sample struct {
	Label       string           `json:"label,omitempty"`
	At          time.Time        `json:"at"`
	Connections int              `json:"connections"` // pairs of established sockets
	Server      process          `json:"server"`
	Client      process          `json:"client"`
	Memory      map[string]int64 `json:"memory"`             // of /proc/meminfo, by its names
	TCP         int64            `json:"tcp_buffers"`        // what both ends hold in socket buffers, in whole pages
	Slabs       map[string]int64 `json:"slabs,omitempty"`    // by name; of labelled samples
	LostSYN     int64            `json:"lost_syn,omitempty"` // since boot: connects that found the accept queue full
	Resent      int64            `json:"resent_segments"`    // since boot
}

// process is what the kernel says of one process.
type process struct {
	Resident int64   `json:"resident"` // of labelled samples summed over its pages, else the kernel's estimate
	Peak     int64   `json:"peak"`
	Anon     int64   `json:"anon"`
	CPU      float64 `json:"cpu_s"` // all threads, user and system
	Threads  int64   `json:"threads"`
}

// ending is the last record.
type ending struct {
	LoadExit    int                `json:"load_exit"` // exit code of holdfast bench; -1: it gave none
	ServerAlive bool               `json:"server_alive"`
	Fault       string             `json:"fault,omitempty"`
	Metrics     map[string]float64 `json:"metrics,omitempty"` // of the server, at the end
}

// emit prints a record on a line of its own.
func emit(w io.Writer, r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", recordMark, text)
	return err
}

// Errors of a console that has no figures.
var (
	// errIncomplete: the guest ended before the measurement did.
	errIncomplete = errors.New("the console ends before the measurement")
	// errRecord: a line that should be a record is none.
	errRecord = errors.New("a record cannot be read")
)

// records is a console's, sorted by what they are for.
type records struct {
	guest    *guest
	doctor   json.RawMessage
	load     json.RawMessage
	end      *ending
	samples  []*sample
	labelled map[string]*sample
}

// maxLine bounds a record; the largest is the load's result, some 10 KB.
const maxLine = 1 << 20

// readRecords takes what it knows of a console, up to its end or 100,000 samples.
func readRecords(in io.Reader) (*records, error) {
	all := &records{labelled: map[string]*sample{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		text, is := bytes.CutPrefix(lines.Bytes(), []byte(recordMark+"{"))
		if !is {
			continue
		}
		var r record
		if err := json.Unmarshal(append([]byte("{"), text...), &r); err != nil {
			return nil, fmt.Errorf("%w: %v", errRecord, err)
		}
		all.take(&r)
	}
	return all, lines.Err()
}

func (all *records) take(r *record) {
	const most = 100_000
	switch {
	case r.Guest != nil:
		all.guest = r.Guest
	case len(r.Doctor) > 0:
		all.doctor = r.Doctor
	case len(r.Load) > 0:
		all.load = r.Load
	case r.End != nil:
		all.end = r.End
	case r.Sample != nil:
		if len(all.samples) < most {
			all.samples = append(all.samples, r.Sample)
		}
		if r.Sample.Label != "" {
			all.labelled[r.Sample.Label] = r.Sample
		}
	}
}

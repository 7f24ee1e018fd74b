package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The bars. Memory is judged from fullSize connections on: what a process needs
// without any would be most of a smaller run's.
const (
	fullSize      = 1_000_000
	ownBar        = 256  // bytes a connection, of the whole process
	allInBar      = 4500 // bytes a connection, with the kernel's share of the server's side
	predictionBar = 10   // per cent
)

// errDoubtful is a console whose figures would say something else than they seem to.
var errDoubtful = errors.New("these figures cannot be judged")

// figures are what was found. Bytes a connection unless the name says otherwise; seconds of the guest.
type figures struct {
	Connections int64 `json:"connections"`

	OwnBytes       float64 `json:"own_bytes"`                 // resident size of the whole process / connections, idle
	OwnGrowth      float64 `json:"own_growth_bytes"`          // what the connections added to it
	OwnAfter       float64 `json:"own_after_bytes"`           // after the broadcast
	OwnPeak        float64 `json:"own_peak_bytes"`            // the most at any time (VmHWM)
	KernelBytes    float64 `json:"kernel_bytes"`              // the server's half of what the kernel took for both ends
	KernelSlabs    float64 `json:"kernel_slab_bytes"`         // of these, in slabs
	AllInBytes     float64 `json:"all_in_bytes"`              // own and kernel
	Predicted      float64 `json:"predicted_bytes"`           // by doctor, for the same
	PredictionOff  float64 `json:"prediction_off_percent"`    // above 0: predicted more than was needed
	PredictedPeak  int64   `json:"predicted_in_all_bytes"`    // doctor's whole bill, a broadcast of which nobody has read a byte included
	BuffersAtPeak  int64   `json:"socket_buffers_peak_bytes"` // both ends, sampled each second
	ConnectSeconds float64 `json:"connect_s"`
	ConnectRate    float64 `json:"connects_per_s"`
	ConnectCPU     float64 `json:"server_cpu_us_per_connect"`
	Lost           int64   `json:"lost_connections"`
	Broadcast      float64 `json:"broadcast_s"` // from its call to the last reception
	Received       int64   `json:"received"`
	NotOnce        int64   `json:"not_exactly_once"` // missing or doubled receptions
	IdleSeconds    float64 `json:"idle_s"`
	IdleCPU        float64 `json:"idle_server_cpu_s"`
	IdleShare      float64 `json:"idle_server_cpu_percent"` // of one processor
	PingsSent      int64   `json:"client_pings"`            // in the whole run
	PingsAnswered  int64   `json:"server_pings"`
	Resent         int64   `json:"resent_segments"` // in the whole run
	LostSYN        int64   `json:"lost_syn"`
}

// load is what judge needs of the load's result.
type load struct {
	Began       time.Time `json:"began"`
	Connections struct {
		Wanted int64 `json:"wanted"`
		Rounds []struct {
			Subscribed int64   `json:"subscribed"`
			Seconds    float64 `json:"seconds"`
			PerSecond  float64 `json:"per_second"`
		} `json:"rounds"`
		AtEnd         int64            `json:"at_end"`
		Failed        int64            `json:"failed"`
		Dropped       int64            `json:"dropped"`
		Failures      map[string]int64 `json:"failures"`
		PingsSent     int64            `json:"pings_sent"`
		PingsAnswered int64            `json:"pings_answered"`
	} `json:"connections"`
	Events *struct {
		Expected  int64   `json:"expected"`
		Received  int64   `json:"received"`
		Lost      int64   `json:"lost"`
		Duplicate int64   `json:"duplicate"`
		LastAfter float64 `json:"last_after_ms"`
	} `json:"events"`
}

// doctorAnswer is what judge needs of doctor's.
type doctorAnswer struct {
	Verdict string `json:"verdict"`
	Memory  struct {
		Items []struct {
			Name  string `json:"name"`
			Bytes int64  `json:"bytes"`
		} `json:"items"`
		Total int64 `json:"total_bytes"`
	} `json:"memory"`
}

// bill splits doctor's prediction into what connections that stand still cost, and
// the rest: the worst moment, and reserves.
func (d *doctorAnswer) bill() (idle int64, err error) {
	idleItems, others := []string{"connections,", "kernel sockets,", "descriptor table"}, []string{"one broadcast", "process and kernel"}
	found := 0
	for _, item := range d.Memory.Items {
		switch {
		case begins(item.Name, idleItems):
			idle += item.Bytes
			found++
		case !begins(item.Name, others):
			return 0, fmt.Errorf("%w: doctor's bill has an item %q", errDoubtful, item.Name)
		}
	}
	if found != len(idleItems) {
		return 0, fmt.Errorf("%w: doctor's bill has %d of the items %q", errDoubtful, found, idleItems)
	}
	return idle, nil
}

func begins(name string, with []string) bool {
	for _, w := range with {
		if strings.HasPrefix(name, w) {
			return true
		}
	}
	return false
}

// kernelRest is what is neither free, nor a process's, nor a file's. Pages that wait
// on a processor's list for their next user count as used, some MB.
func (s *sample) kernelRest() int64 {
	return s.Memory["MemTotal"] - s.Memory["MemFree"] - s.Memory["AnonPages"] - s.Memory["Cached"] - s.Memory["Buffers"]
}

// kernelParts is what the kernel says that it holds. Pages of socket buffers are in
// none of the parts; an idle socket has none.
func (s *sample) kernelParts() int64 {
	return s.Memory["Slab"] + s.Memory["KernelStack"] + s.Memory["PageTables"] + s.Memory["VmallocUsed"] + s.Memory["Percpu"]
}

// judge makes figures of a whole console.
func judge(all *records) (*report, error) {
	if all.end != nil && all.end.Fault != "" {
		return nil, fmt.Errorf("%w: %s", errIncomplete, all.end.Fault)
	}
	if all.guest == nil || all.doctor == nil || all.load == nil || all.end == nil || all.labelled[labelBefore] == nil || all.labelled[labelAfter] == nil {
		return nil, fmt.Errorf("%w: %s", errIncomplete, all.last())
	}
	var result load
	if err := json.Unmarshal(all.load, &result); err != nil {
		return nil, fmt.Errorf("%w: the load's result: %v", errRecord, err)
	}
	if all.labelled[labelOpened] == nil || all.labelled[labelIdle] == nil || result.Events == nil || len(result.Connections.Rounds) != 1 {
		return nil, fmt.Errorf("%w: not all connections were made or kept: %d subscribed and kept, %d failed, %d dropped: %v", errIncomplete,
			result.Connections.AtEnd, result.Connections.Failed, result.Connections.Dropped, result.Connections.Failures)
	}
	var doctor doctorAnswer
	if err := json.Unmarshal(all.doctor, &doctor); err != nil {
		return nil, fmt.Errorf("%w: doctor's answer: %v", errRecord, err)
	}
	if err := all.inTime(&result); err != nil {
		return nil, err
	}
	f, err := all.figures(&result, &doctor)
	if err != nil {
		return nil, err
	}
	return newReport(all, f, doctor.Verdict), nil
}

// last tells of the console's end, for whoever looks for a cause.
func (all *records) last() string {
	if len(all.samples) == 0 {
		return "no sample"
	}
	s := all.samples[len(all.samples)-1]
	return fmt.Sprintf("the last sample has %d connections, %d MB free, the server %d MB", s.Connections, s.Memory["MemFree"]>>20, s.Server.Resident>>20)
}

// inTime: the memory of the idle crowd was read after all were subscribed and
// before the broadcast.
func (all *records) inTime(l *load) error {
	subscribed := l.Began.Add(time.Duration(l.Connections.Rounds[0].Seconds * float64(time.Second)))
	if at := all.labelled[labelOpened].At; at.Before(subscribed) {
		return fmt.Errorf("%w: memory was read %v before all were subscribed", errDoubtful, subscribed.Sub(at))
	}
	if at, broadcast := all.labelled[labelIdle].At, subscribed.Add(all.guest.Hold); at.After(broadcast) {
		return fmt.Errorf("%w: memory was read %v after the broadcast had begun", errDoubtful, at.Sub(broadcast))
	}
	return nil
}

func (all *records) figures(l *load, d *doctorAnswer) (*figures, error) {
	before, opened, idle, after := all.labelled[labelBefore], all.labelled[labelOpened], all.labelled[labelIdle], all.labelled[labelAfter]
	n := float64(all.guest.Connections)
	round := &l.Connections.Rounds[0]
	f := &figures{
		Connections: l.Connections.AtEnd, ConnectSeconds: round.Seconds, ConnectRate: round.PerSecond, ConnectCPU: (opened.Server.CPU - before.Server.CPU) * 1e6 / n,
		Lost: int64(all.guest.Connections) - l.Connections.AtEnd, Broadcast: l.Events.LastAfter / 1000, Received: l.Events.Received,
		PingsSent: l.Connections.PingsSent, PingsAnswered: l.Connections.PingsAnswered,
		Resent: after.Resent - before.Resent, LostSYN: after.LostSYN - before.LostSYN, PredictedPeak: d.Memory.Total,
	}
	f.NotOnce = max(int64(all.guest.Connections)-l.Events.Received, l.Events.Lost) + l.Events.Duplicate

	// Of the two looks at the idle crowd the worse one counts.
	own := max(opened.Server.Resident, idle.Server.Resident)
	f.OwnBytes, f.OwnGrowth = float64(own)/n, float64(own-before.Server.Resident)/n
	f.OwnAfter, f.OwnPeak = float64(after.Server.Resident)/n, float64(after.Server.Peak)/n
	// And of the two accounts of the kernel's memory the larger one.
	kernel := max(opened.kernelRest()-before.kernelRest(), idle.kernelRest()-before.kernelRest(),
		opened.kernelParts()-before.kernelParts(), idle.kernelParts()-before.kernelParts())
	f.KernelBytes = float64(kernel) / 2 / n
	f.KernelSlabs = float64(max(opened.Memory["Slab"], idle.Memory["Slab"])-before.Memory["Slab"]) / 2 / n
	f.AllInBytes = f.OwnBytes + f.KernelBytes

	predicted, err := d.bill()
	if err != nil {
		return nil, err
	}
	f.Predicted = float64(predicted) / n
	f.PredictionOff = 100 * (f.Predicted/f.AllInBytes - 1)

	f.IdleSeconds, f.IdleCPU = idle.At.Sub(opened.At).Seconds(), idle.Server.CPU-opened.Server.CPU
	f.IdleShare = 100 * f.IdleCPU / f.IdleSeconds
	for _, s := range all.samples {
		f.BuffersAtPeak = max(f.BuffersAtPeak, s.TCP)
	}
	return f, nil
}

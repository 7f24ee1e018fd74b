package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// wholeRun is a console in which every bar is reached: 200 bytes of the process and
// 4,000 of the kernel a connection, while doctor predicts 4,260.
func wholeRun() *records {
	const n = fullSize
	at := func(label string, seconds int, own, slab int64, cpu float64) *sample {
		return &sample{Label: label, At: began.Add(time.Duration(seconds) * time.Second), Connections: n,
			Server: process{Resident: own, Peak: own, CPU: cpu},
			Memory: map[string]int64{"MemTotal": 16e9, "MemFree": 15e9 - slab - own, "AnonPages": own, "Slab": slab}}
	}
	all := &records{
		guest: &guest{Connections: n, Kernel: "6.1", CPUs: 2, Hold: 180 * time.Second},
		doctor: json.RawMessage(`{"verdict":"ok","memory":{"items":[{"name":"connections, 256 B each","bytes":256000000},
			{"name":"kernel sockets, 3.9 KiB each","bytes":3994000000},{"name":"descriptor table","bytes":10000000},
			{"name":"one broadcast in flight, 1 page each","bytes":4096000000},{"name":"process and kernel","bytes":536870912}],"total_bytes":8892870912}}`),
		load: json.RawMessage(fmt.Sprintf(`{"began":%q,"connections":{"wanted":%d,"rounds":[{"subscribed":%d,"seconds":100,"per_second":10000}],"at_end":%d},
			"events":{"expected":%d,"received":%d,"last_after_ms":5000}}`, began.Format(time.RFC3339), n, n, n, n, n)),
		end:      &ending{ServerAlive: true},
		labelled: map[string]*sample{},
	}
	for _, s := range []*sample{at(labelBefore, -10, 20e6, 1e6, 1), at(labelOpened, 120, 190e6, 8_000e6+1e6, 101), at(labelIdle, 255, 200e6, 8_001e6, 128),
		at(labelAfter, 290, 210e6, 8_001e6, 140)} {
		all.samples = append(all.samples, s)
		all.labelled[s.Label] = s
	}
	return all
}

func TestFigures(t *testing.T) {
	r, err := judge(wholeRun())
	if err != nil {
		t.Fatal(err)
	}
	f := r.Figures
	for name, pair := range map[string][2]float64{
		"own":            {f.OwnBytes, 200},
		"growth":         {f.OwnGrowth, 180},
		"after":          {f.OwnAfter, 210},
		"kernel":         {f.KernelBytes, 4000},
		"all in":         {f.AllInBytes, 4200},
		"predicted":      {f.Predicted, 4260},
		"off":            {f.PredictionOff, 100 * (4260.0/4200 - 1)},
		"connect CPU":    {f.ConnectCPU, 100},
		"broadcast":      {f.Broadcast, 5},
		"idle CPU":       {f.IdleCPU, 27},
		"idle for":       {f.IdleSeconds, 135},
		"idle share":     {f.IdleShare, 20},
		"not once":       {float64(f.NotOnce), 0},
		"lost":           {float64(f.Lost), 0},
		"predicted peak": {float64(f.PredictedPeak), 8892870912},
	} {
		if pair[0] < pair[1]*0.999999 || pair[0] > pair[1]*1.000001 {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
	if !r.Pass {
		t.Errorf("not passed: %+v", r.Bars)
	}
}

func TestEachBarIsHeld(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*records)
		bar   string
	}{
		"process too big":   {func(a *records) { a.labelled[labelIdle].Server.Resident = 257e6 }, "memory of the process"},
		"kernel too big":    {func(a *records) { a.labelled[labelOpened].Memory["Slab"] = 8_800e6 }, "process and kernel"},
		"prediction low":    {func(a *records) { a.labelled[labelOpened].Memory["MemFree"] -= 1_100e6 }, "doctor's prediction"},
		"prediction high":   {func(a *records) { a.doctor = replace(a.doctor, "3994000000", "4994000000") }, "doctor's prediction"},
		"one lost":          {func(a *records) { a.load = replace(a.load, `"at_end":1000000`, `"at_end":999999`) }, "lost connections"},
		"one event missing": {func(a *records) { a.load = replace(a.load, `"received":1000000`, `"received":999999`) }, "received the broadcast"},
		"one event twice":   {func(a *records) { a.load = replace(a.load, `"expected":1000000`, `"expected":1000000,"duplicate":1`) }, "  missing or doubled"},
	} {
		t.Run(name, func(t *testing.T) {
			all := wholeRun()
			c.spoil(all)
			r, err := judge(all)
			if err != nil {
				t.Fatal(err)
			}
			missed := false
			for _, b := range r.Bars {
				missed = missed || !b.Pass && strings.HasPrefix(b.Name, c.bar)
			}
			if r.Pass || !missed {
				t.Errorf("passed: %v, bars %+v", r.Pass, r.Bars)
			}
		})
	}
}

func replace(in json.RawMessage, old, by string) json.RawMessage {
	return json.RawMessage(strings.Replace(string(in), old, by, 1))
}

func TestWhatCannotBeJudged(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*records)
		want  error
	}{
		"no end":            {func(a *records) { a.end = nil }, errIncomplete},
		"a fault":           {func(a *records) { a.end.Fault = "the server ended" }, errIncomplete},
		"never all":         {func(a *records) { delete(a.labelled, labelOpened) }, errIncomplete},
		"nothing published": {func(a *records) { a.load = replace(a.load, `"events"`, `"other"`) }, errIncomplete},
		"read too early":    {func(a *records) { a.load = replace(a.load, `"seconds":100`, `"seconds":121`) }, errDoubtful},
		"read too late":     {func(a *records) { a.guest.Hold = 150 * time.Second }, errDoubtful},
		"an unknown item":   {func(a *records) { a.doctor = replace(a.doctor, "descriptor table", "files") }, errDoubtful},
	} {
		t.Run(name, func(t *testing.T) {
			all := wholeRun()
			c.spoil(all)
			if _, err := judge(all); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestASmokeRunJudgesNoMemory(t *testing.T) {
	for _, b := range (&figures{Connections: 10, Received: 10, OwnBytes: 2000, AllInBytes: 6000, PredictionOff: -30}).bars(10) {
		if !b.Pass {
			t.Errorf("%+v", b)
		}
	}
}

func TestTableAndFile(t *testing.T) {
	r, err := judge(wholeRun())
	if err != nil {
		t.Fatal(err)
	}
	r.Date = "2026-01-02T03:04:05Z"
	var table bytes.Buffer
	if err := r.print(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "process and kernel a connection                       4,200 B   ≤ 4500      ok\n") {
		t.Errorf("%s", &table)
	}
	name, err := r.write(t.TempDir())
	if err != nil || filepath.Base(name) != "million-2026-01-02.json" {
		t.Fatalf("%s, %v", name, err)
	}
	text, err := os.ReadFile(name)
	if err != nil || !json.Valid(text) || !bytes.Contains(text, []byte(`"guest"`)) {
		t.Errorf("%s, %v", text, err)
	}
}

// The prices are doctor's own: what it answers now must be what judge understands.
func TestBillOfDoctor(t *testing.T) {
	program := filepath.Join(t.TempDir(), "holdfast")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/holdfast").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// Its exit code tells of this host.
	text, _ := exec.Command(program, "doctor", "--connections", "1000000", "--json").Output()
	var answer doctorAnswer
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	idle, err := answer.bill()
	if err != nil || idle < 1e9 || idle > answer.Memory.Total {
		t.Errorf("%d of %d, %v", idle, answer.Memory.Total, err)
	}
}

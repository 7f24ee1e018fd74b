package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRecordsAreFoundAmongOtherLines(t *testing.T) {
	var console bytes.Buffer
	console.WriteString("SeaBIOS (version 1.16)\nmillion of something else\n")
	for _, r := range []record{
		{Kind: "guest", Guest: &guest{Connections: 5, Hold: time.Minute}},
		{Kind: "doctor", Doctor: json.RawMessage(`{"verdict":"ok"}`)},
		{Kind: "sample", Sample: &sample{Label: labelBefore}},
		{Kind: "sample", Sample: &sample{Connections: 3}},
		{Kind: "load", Load: json.RawMessage(`{"exit_code":0}`)},
		{Kind: "end", End: &ending{LoadExit: 0, ServerAlive: true}},
	} {
		if err := emit(&console, r); err != nil {
			t.Fatal(err)
		}
		console.WriteString("connected 3 of 5, 1/s\n")
	}
	all, err := readRecords(&console)
	if err != nil {
		t.Fatal(err)
	}
	if all.guest == nil || all.guest.Connections != 5 || all.guest.Hold != time.Minute {
		t.Errorf("guest %+v", all.guest)
	}
	if string(all.doctor) != `{"verdict":"ok"}` || string(all.load) != `{"exit_code":0}` || all.end == nil || !all.end.ServerAlive {
		t.Errorf("doctor %s, load %s, end %+v", all.doctor, all.load, all.end)
	}
	if len(all.samples) != 2 || all.labelled[labelBefore] == nil || all.samples[1].Connections != 3 {
		t.Errorf("%d samples, labelled %v", len(all.samples), all.labelled)
	}
}

func TestARecordThatWasCutIsAFault(t *testing.T) {
	_, err := readRecords(strings.NewReader("million {\"kind\":\"sample\",\"sam\n"))
	if !errors.Is(err, errRecord) {
		t.Errorf("%v, want %v", err, errRecord)
	}
}

func FuzzRecords(f *testing.F) {
	f.Add("million {\"kind\":\"end\",\"end\":{\"load_exit\":1}}\n")
	f.Add("million {\"sample\":{\"label\":\"idle\",\"memory\":{\"Slab\":1}}}\nmillion {")
	f.Fuzz(func(t *testing.T, console string) {
		if all, err := readRecords(strings.NewReader(console)); err == nil {
			_, _ = judge(all)
		}
	})
}

package pusher

import (
	"encoding/json"
	"fmt"
	"regexp"
	"testing"
	"time"
)

func TestRecover(t *testing.T) {
	for _, c := range []struct {
		text string
		want *Recover // nil = malformed
	}{
		{`{"epoch":"k3f9k3f9","seq":41}`, &Recover{Epoch: []byte("k3f9k3f9"), Seq: 41}},
		{` { "seq" : 0 , "epoch" : "ABCdef0123456789" } `, &Recover{Epoch: []byte("ABCdef0123456789")}},
		{`{"epoch":"k3f9k3f9","seq":9007199254740991,"socket_id":"8137.4592","more":[1]}`,
			&Recover{Epoch: []byte("k3f9k3f9"), Seq: MaxSeq, SocketID: []byte("8137.4592")}},
		{`{"epoch":"k3f9k3f9","seq":1,"socket_id":null}`, &Recover{Epoch: []byte("k3f9k3f9"), Seq: 1}},
		{`{"epoch":"k3f9k3f9","seq":9007199254740992}`, nil},
		{`{"epoch":"k3f9k3f9","seq":18446744073709551617}`, nil},
		{`{"epoch":"k3f9k3f9","seq":-1}`, nil},
		{`{"epoch":"k3f9k3f9","seq":1.0}`, nil},
		{`{"epoch":"k3f9k3f9","seq":1e1}`, nil},
		{`{"epoch":"k3f9k3f9","seq":"41"}`, nil},
		{`{"epoch":"k3f9k3f9","seq":null}`, nil},
		{`{"epoch":"k3f9k3f9"}`, nil},
		{`{"seq":41}`, nil},
		{`{"epoch":41,"seq":41}`, nil},
		{`{"epoch":"k3f9","seq":41}`, nil},
		{`{"epoch":"k3f9k3f9k3f9k3f9x","seq":41}`, nil},
		{`{"epoch":"k3f9-3f9","seq":41}`, nil},
		{`{"epoch":"k3f9\u006b3f9","seq":41}`, nil},
		{`{"epoch":"k3f9k3f9","seq":41,"socket_id":81}`, nil},
		{`{"epoch":"k3f9k3f9","seq":41,"socket_id":"x"}`, nil},
		{`"k3f9k3f9:41"`, nil},
		{`[]`, nil},
		{`41`, nil},
	} {
		var d Decoder
		var got Recover
		err := d.Recover([]byte(c.text), &got)
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: got %+v, want it refused", c.text, got)
			}
			continue
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(*c.want) {
			t.Errorf("%s: got %+v, %v", c.text, got, err)
		}
	}
}

func TestRewind(t *testing.T) {
	for text, want := range map[string]Rewind{
		`1`: {Events: 1}, `10`: {Events: 10}, `1000`: {Events: 1000},
		`"1s"`: {Age: time.Second}, `"30s"`: {Age: 30 * time.Second}, `"999999h"`: {Age: 999999 * time.Hour}, `"5m"`: {Age: 5 * time.Minute},
		`0`: {}, `1001`: {}, `-1`: {}, `1.5`: {}, `"10"`: {}, `"s"`: {}, `"0s"`: {}, `"01s"`: {}, `"1d"`: {}, `"1000000s"`: {},
		`" 1s"`: {}, `"1\u0073"`: {}, `true`: {}, `{}`: {}, `"-1s"`: {}, `"+1s"`: {},
	} {
		got, err := ParseRewind([]byte(text))
		if got != want || (err != nil) != (want == Rewind{}) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
}

// FuzzRecover: what is accepted is what encoding/json reads, within the ranges.
func FuzzRecover(f *testing.F) {
	f.Add([]byte(`{"epoch":"k3f9k3f9","seq":41,"socket_id":"1.2"}`))
	f.Add([]byte(`{"epoch":"k3f9k3f9","seq":041}`))
	f.Add([]byte(`"30s"`))
	f.Add([]byte(`"`))
	f.Add([]byte(`"30s`))
	epochs := regexp.MustCompile(`^[A-Za-z0-9]{8,16}$`)
	f.Fuzz(func(t *testing.T, p []byte) {
		var d Decoder
		var got Recover
		if d.Recover(p, &got) == nil {
			var want struct {
				Epoch    string  `json:"epoch"`
				Seq      uint64  `json:"seq"`
				SocketID *string `json:"socket_id"`
			}
			if !json.Valid(p) {
				t.Fatalf("accepted %q", p)
			}
			// Names that differ in letter case are the same to encoding/json, so a text
			// that has such members too tells nothing.
			if json.Unmarshal(p, &want) == nil && want.Epoch == string(got.Epoch) && (want.Seq != got.Seq || got.Seq > MaxSeq) {
				t.Fatalf("%q: seq %d, want %d", p, got.Seq, want.Seq)
			}
			if !epochs.Match(got.Epoch) {
				t.Fatalf("%q: epoch %q", p, got.Epoch)
			}
		}
		if got, err := ParseRewind(p); err == nil && (got.Events == 0) == (got.Age == 0) {
			t.Fatalf("%q: %+v", p, got)
		}
	})
}

package ingest

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-edge/holdfast/router"
)

// TestRead: messages as the framework sends them (the protocol's socket is in the data as
// well, null when there is none).
func TestRead(t *testing.T) {
	limits := router.DefaultLimits()
	for _, c := range []struct {
		channel, raw string
		want         router.Event
		err          error
	}{
		{"laravel_database_private-orders.1", `{"event":"App\\Events\\OrderShipped","data":{"id":1,"socket":"123.456"},"socket":"123.456"}`,
			router.Event{Name: `App\Events\OrderShipped`, Data: `{"id":1,"socket":"123.456"}`, Channels: []string{"private-orders.1"}, Except: "123.456"}, nil},
		{"laravel_database_news", `{"event":"e","data":{"a":[1, 2],"socket":null},"socket":null}`,
			router.Event{Name: "e", Data: `{"a":[1, 2],"socket":null}`, Channels: []string{"news"}}, nil},
		{"laravel_database_news", `{"event":"e"}`, router.Event{Name: "e", Data: "null", Channels: []string{"news"}}, nil},
		{"laravel_database_news", `{"data":{}}`, router.Event{}, errMessage},
		{"laravel_database_news", `{"event":1,"data":{}}`, router.Event{}, errMessage},
		{"laravel_database_news", `[]`, router.Event{}, errMessage},
		{"laravel_database_news", ``, router.Event{}, errMessage},
		{"laravel_database_no blanks", `{"event":"e","data":1}`, router.Event{}, errMessage},
		{"laravel_database_", `{"event":"e","data":1}`, router.Event{}, errMessage},
		{"other_news", `{"event":"e","data":1}`, router.Event{}, errMessage},
		{"laravel_database_news", `{"event":"e","data":"` + strings.Repeat("x", 10<<10) + `"}`, router.Event{}, errLimit},
		{"laravel_database_news", `{"event":"e","data":"` + strings.Repeat("x", 100<<10) + `"}`, router.Event{}, errLimit},
		{"laravel_database_news", `{"event":"` + strings.Repeat("x", 201) + `","data":1}`, router.Event{}, errLimit},
	} {
		ev, err := read("laravel_database_", c.channel, c.raw, limits)
		if !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%s %.60s: %v, want %v", c.channel, c.raw, err, c.err)
			continue
		}
		if err == nil && (ev.Name != c.want.Name || ev.Data != c.want.Data || ev.Channels[0] != c.want.Channels[0] || ev.Except != c.want.Except) {
			t.Errorf("%s %s: %+v", c.channel, c.raw, ev)
		}
	}
}

func TestGlob(t *testing.T) {
	if got := glob(`a*b?[c]^\`); got != `a\*b\?\[c\]\^\\` {
		t.Errorf("%s", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("p_news", `{"event":"e","data":{"a":1},"socket":"1.2"}`)
	limits := router.DefaultLimits()
	f.Fuzz(func(t *testing.T, channel, raw string) {
		ev, err := read("p_", channel, raw, limits)
		if err != nil {
			return
		}
		if ev.Name == "" || len(ev.Data) > limits.EventDataBytes || len(ev.Channels[0]) > limits.ChannelNameBytes {
			t.Fatalf("%q %q became %+v", channel, raw, ev)
		}
	})
}

package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// rememberFive keeps the last five events of the channels whose names begin with five-.
var rememberFive = router.HistoryRule{Match: "five-*", Rule: router.Rule{Events: 5, Age: time.Minute, Bytes: 1 << 20, Replay: true}}

// stored is the JSON of the events e<from> to e<to> of fill.
func stored(from, to int) string {
	var all []string
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprintf(`{"seq":%d,"name":"e%d","data":"{\"n\":%d}","time_ms":%d}`, n, n, n, 1_700_000_000_000+n-1))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func TestHistory(t *testing.T) {
	k := keep(t, rememberFive)
	k.fill("five-a", 12)
	head := `{"channel":"five-a","position":{"epoch":"k3f9a7c2","seq":12},"oldest":8,"events":`
	for _, c := range []struct{ name, query, want string }{
		{"from the oldest", "", head + stored(8, 12) + `,"next":null}`},
		{"the first page", "limit=2", head + stored(8, 9) + `,"next":"k3f9a7c2:9"}`},
		{"the next one", "limit=2&since=k3f9a7c2:9", head + stored(10, 11) + `,"next":"k3f9a7c2:11"}`},
		{"the last one", "limit=2&since=k3f9a7c2:11", head + stored(12, 12) + `,"next":null}`},
		{"a page that ends at the head", "limit=2&since=k3f9a7c2:10", head + stored(11, 12) + `,"next":null}`},
		{"at the head", "since=k3f9a7c2:12", head + `[],"next":null}`},
		{"just before the oldest", "since=k3f9a7c2:7&limit=1000", head + stored(8, 12) + `,"next":null}`},
		{"empty parameters are absent", "limit=&since=", head + stored(8, 12) + `,"next":null}`},
		{"a percent-encoded position", "since=k3f9a7c2%3A11", head + stored(12, 12) + `,"next":null}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := "/apps/3/channels/five-a/history"
			if strings.Contains(c.query, "%") {
				// What is signed is the decoded form, which sign cannot tell apart.
				signedQuery := sign(testKey, testSecret, "GET", path, strings.ReplaceAll(c.query, "%3A", ":"), "", k.clock.Now())
				k.do(raw("GET", path+"?"+strings.Replace(signedQuery, "k3f9a7c2:", "k3f9a7c2%3A", 1), ""), "GET").want(t, 200, c.want)
				return
			}
			k.get(path, c.query).want(t, 200, c.want)
		})
	}
	t.Run("a channel without an event", func(t *testing.T) {
		k.get("/apps/3/channels/new/history", "").want(t, 200, `{"channel":"new","position":{"epoch":"k3f9a7c2","seq":0},"oldest":1,"events":[],"next":null}`)
	})
	t.Run("names and data as they were published", func(t *testing.T) {
		k.post(eventsPath, `{"name":"App\\Events\\X","data":"{\"id\":\"é\\u2028\"}","channel":"private-b"}`).want(t, 200, `{}`)
		k.get("/apps/3/channels/private-b/history", "").want(t, 200, `{"channel":"private-b","position":{"epoch":"k3f9a7c2","seq":1},"oldest":1,"events":[{"seq":1,"name":"App\\Events\\X","data":"{\"id\":\"é\\u2028\"}","time_ms":1700000000012}],"next":null}`)
	})
	t.Run("the channel of a user", func(t *testing.T) {
		k.get("/apps/3/channels/%23server-to-user-7/history", "").want(t, 200, `{"channel":"#server-to-user-7","position":{"epoch":"k3f9a7c2","seq":0},"oldest":1,"events":[],"next":null}`)
	})
	t.Run("by default a hundred", func(t *testing.T) {
		k.fill("long", 101)
		got := k.get("/apps/3/channels/long/history", "")
		var page struct {
			Events []struct{ Seq int }
			Next   string
		}
		if err := json.Unmarshal([]byte(got.body), &page); err != nil || len(page.Events) != 100 || page.Next != "k3f9a7c2:100" {
			t.Errorf("%d events, next %q, %v", len(page.Events), page.Next, err)
		}
	})
}

// TestHistoryByPages: following next gives every event once, in order.
func TestHistoryByPages(t *testing.T) {
	k := keep(t)
	k.fill("a", 50)
	for _, limit := range []int{1, 7, 49, 50, 51} {
		query, seen := fmt.Sprint("limit=", limit), 0
		for pages := 0; ; pages++ {
			var page struct {
				Events []struct{ Seq int }
				Next   *string
			}
			if err := json.Unmarshal([]byte(k.get("/apps/3/channels/a/history", query).body), &page); err != nil || len(page.Events) > limit || pages > 50 {
				t.Fatalf("limit %d: %d events on page %d, %v", limit, len(page.Events), pages, err)
			}
			for _, e := range page.Events {
				if seen++; e.Seq != seen {
					t.Fatalf("limit %d: %d stands where %d belongs", limit, e.Seq, seen)
				}
			}
			if page.Next == nil {
				break
			}
			query = fmt.Sprintf("limit=%d&since=%s", limit, *page.Next)
		}
		if seen != 50 {
			t.Errorf("limit %d: %d events", limit, seen)
		}
	}
}

// TestHistoryGone: every reason for which nobody can go on from a position.
func TestHistoryGone(t *testing.T) {
	const place = `,"position":{"epoch":"k3f9a7c2","seq":12},"oldest":8}`
	for _, c := range []struct {
		name, channel, query, want string
		prepare                    func(*memLog)
	}{
		{name: "expired", query: "since=k3f9a7c2:6", want: `{"error":"events after \"k3f9a7c2:6\" are no longer kept: the oldest one has number 8","code":"expired","status":410` + place},
		{name: "epoch", query: "since=another1:6", want: `{"error":"since \"another1:6\" is of another epoch: the channel's order was broken after it","code":"epoch","status":410` + place},
		{name: "ahead", query: "since=k3f9a7c2:13", want: `{"error":"since \"k3f9a7c2:13\" is beyond the channel's last event","code":"ahead","status":410` + place},
		{name: "unavailable", query: "since=k3f9a7c2:9", prepare: func(l *memLog) { l.down = true }, want: `{"error":"the log cannot answer for this channel now","code":"unavailable","status":410` + place},
		{name: "unavailable when what is there cannot be read", query: "since=k3f9a7c2:9", prepare: func(l *memLog) { l.unreadable = true }, want: `{"error":"the log cannot answer for this channel now","code":"unavailable","status":410` + place},
		{name: "unavailable without a position behind a gap", query: "since=k3f9a7c2:9", prepare: func(l *memLog) { l.channel("3\x1ffive-a").at.Broken = true }, want: `{"error":"the log cannot answer for this channel now","code":"unavailable","status":410}`},
		{name: "off", channel: "quiet-a", want: `{"error":"channel \"quiet-a\" has no history: the rule under [[history]] that matches it keeps no events","code":"off","status":410}`},
		{name: "off with a position", channel: "quiet-a", query: "since=k3f9a7c2:6", want: `{"error":"channel \"quiet-a\" has no history: the rule under [[history]] that matches it keeps no events","code":"off","status":410}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := keep(t, rememberFive)
			k.fill("five-a", 12)
			if c.prepare != nil {
				k.log.set(c.prepare)
			}
			channel := c.channel
			if channel == "" {
				channel = "five-a"
			}
			k.get("/apps/3/channels/"+channel+"/history", c.query).want(t, 410, c.want)
		})
	}
}

func TestHistoryRefuses(t *testing.T) {
	k := keep(t)
	const path = "/apps/3/channels/a/history"
	since := func(shown string) string {
		return `{"error":"since ` + shown + ` must be a position: an epoch, a colon and a sequence number, as in k3f9a7c2:41","code":"bad_request","status":400}`
	}
	limit := func(shown string) string {
		return `{"error":"limit ` + shown + ` must be a number from 1 to 1,000","code":"bad_request","status":400}`
	}
	for query, want := range map[string]string{
		"since=41":                        since(`\"41\"`),
		"since=k3f9:41":                   since(`\"k3f9:41\"`),
		"since=k3f9a7c2:":                 since(`\"k3f9a7c2:\"`),
		"since=k3f9a7c2:-1":               since(`\"k3f9a7c2:-1\"`),
		"since=k3f9a7c2:041":              since(`\"k3f9a7c2:041\"`),
		"since=k3f9a7c2:9007199254740992": since(`\"k3f9a7c2:9007199254740992\"`),
		"since=k3f9a7c2:41,k3f9a7c2:7":    since(`\"k3f9a7c2:41,k3f9a7c2:7\"`),
		"since=-":                         since(`\"-\"`),
		"limit=0":                         limit(`\"0\"`),
		"limit=1001":                      limit(`\"1001\"`),
		"limit=-1":                        limit(`\"-1\"`),
		"limit=ten":                       limit(`\"ten\"`),
		"limit=1.5":                       limit(`\"1.5\"`),
		"limit=99999999999999999999":      limit(`\"99999999999999999999\"`),
		"limit=1001&since=k3f9a7c2:x":     since(`\"k3f9a7c2:x\"`),
	} {
		k.get(path, query).want(t, 400, want)
	}
	k.get("/apps/3/channels/a!/history", "").want(t, 400, `{"error":"channel name \"a!\" must be letters, digits and any of -_=@,.; or #server-to-user- and a user id","code":"bad_channel","status":400}`)
	for _, method := range []string{"HEAD", "POST", "DELETE"} {
		got := k.do(signed(method, path, "", "", k.clock.Now()), method)
		if got.status != 405 || got.header.Get("Allow") != "GET" {
			t.Errorf("%s: %d, Allow %q", method, got.status, got.header.Get("Allow"))
		}
	}
	if got := k.do(raw("GET", path, ""), "GET"); got.status != 401 {
		t.Errorf("unsigned: %d", got.status)
	}
}

package pusher

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestMessages pins every message to its bytes.
func TestMessages(t *testing.T) {
	ann := Member{UserID: "7", Info: []byte(`{"name":"Ann"}`)}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"ping", Ping, `{"event":"pusher:ping","data":{}}`},
		{"pong", Pong, `{"event":"pusher:pong","data":{}}`},
		{"established", AppendEstablished(nil, "8137.4592", 117, false),
			`{"event":"pusher:connection_established","data":"{\"socket_id\":\"8137.4592\",\"activity_timeout\":117}"}`},
		{"event", AppendEvent(nil, `App\Events\OrderShipped`, "private-orders.1", `{"id":1}`, EventOptions{}),
			`{"event":"App\\Events\\OrderShipped","channel":"private-orders.1","data":"{\"id\":1}"}`},
		{"event with plain text", AppendEvent(nil, "x", "a", "not json", EventOptions{}),
			`{"event":"x","channel":"a","data":"not json"}`},
		{"event without data", AppendEvent(nil, "x", "a", "", EventOptions{}),
			`{"event":"x","channel":"a","data":""}`},
		{"client event on a presence channel", AppendEvent(nil, "client-typing", "presence-room", `{"x":1}`, EventOptions{UserID: "7"}),
			`{"event":"client-typing","channel":"presence-room","data":"{\"x\":1}","user_id":"7"}`},
		{"cached event", AppendEvent(nil, "price", "cache-x", `{"p":9}`, EventOptions{Cached: true}),
			`{"event":"price","channel":"cache-x","data":"{\"p\":9}","cached":true}`},
		{"succeeded", AppendSucceeded(nil, "news", "{}", Success{}),
			`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}"}`},
		{"established with recovery", AppendEstablished(nil, "8137.4592", 117, true),
			`{"event":"pusher:connection_established","data":"{\"socket_id\":\"8137.4592\",\"activity_timeout\":117,\"recovery\":true}"}`},
		{"numbered event", AppendEvent(nil, "x", "a", "1", EventOptions{Seq: 42}),
			`{"event":"x","channel":"a","data":"1","seq":42}`},
		{"numbered event in two parts", AppendEventTail(AppendEventHead(nil, "x", "a", "1"), 42),
			`{"event":"x","channel":"a","data":"1","seq":42}`},
		{"event without a number in two parts", AppendEventTail(AppendEventHead(nil, "x", "a", "1"), 0),
			`{"event":"x","channel":"a","data":"1"}`},
		{"numbered cached event", AppendEvent(nil, "price", "cache-x", `{"p":9}`, EventOptions{Seq: 41, Cached: true}),
			`{"event":"price","channel":"cache-x","data":"{\"p\":9}","seq":41,"cached":true}`},
		{"succeeded with a position", AppendSucceeded(nil, "news", "{}", Success{Epoch: "k3f9k3f9", Seq: 41}),
			`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}","position":{"epoch":"k3f9k3f9","seq":41}}`},
		{"recovered", AppendSucceeded(nil, "news", "{}", Success{Epoch: "k3f9k3f9", Seq: 41, Replay: ReplayRecovered, Replayed: 7}),
			`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}","position":{"epoch":"k3f9k3f9","seq":41},"recovered":true,"replayed":7}`},
		{"recovered nothing", AppendSucceeded(nil, "news", "{}", Success{Epoch: "k3f9k3f9", Seq: 41, Replay: ReplayRecovered}),
			`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}","position":{"epoch":"k3f9k3f9","seq":41},"recovered":true,"replayed":0}`},
		{"not recovered", AppendSucceeded(nil, "news", "{}", Success{Epoch: "k3f9k3f9", Seq: 1903, Replay: ReplayRefused, Reason: "expired"}),
			`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}","position":{"epoch":"k3f9k3f9","seq":1903},"recovered":false,"reason":"expired"}`},
		{"recovery is off", AppendSucceeded(nil, "news", "{}", Success{Replay: ReplayRefused, Reason: "off"}),
			`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}","recovered":false,"reason":"off"}`},
		{"rewound", AppendSucceeded(nil, "news", "{}", Success{Epoch: "k3f9k3f9", Seq: 38, Replay: ReplayRewound, Replayed: 3}),
			`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}","position":{"epoch":"k3f9k3f9","seq":38},"replayed":3}`},
		{"position", AppendPosition(nil, "news", "k3f9k3f9", 43, ""),
			`{"event":"pusher_internal:position","channel":"news","data":"{}","position":{"epoch":"k3f9k3f9","seq":43}}`},
		{"position of a new epoch", AppendPosition(nil, "news", "k3f9k3f9", 43, "epoch"),
			`{"event":"pusher_internal:position","channel":"news","data":"{}","position":{"epoch":"k3f9k3f9","seq":43},"reason":"epoch"}`},
		{"succeeded on a presence channel", AppendSucceeded(nil, "presence-a", string(AppendPresenceData(nil, []Member{ann})), Success{}),
			`{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":"{\"presence\":{\"ids\":[\"7\"],\"hash\":{\"7\":{\"name\":\"Ann\"}},\"count\":1}}"}`},
		{"presence of two, one without info", AppendPresenceData(nil, []Member{ann, {UserID: `9"`}}),
			`{"presence":{"ids":["7","9\""],"hash":{"7":{"name":"Ann"},"9\"":null},"count":2}}`},
		{"presence of nobody", AppendPresenceData(nil, nil), `{"presence":{"ids":[],"hash":{},"count":0}}`},
		{"member added", AppendMemberAdded(nil, "presence-a", Member{UserID: "9", Info: []byte(`{"name":"B\no"}`)}),
			`{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":\"9\",\"user_info\":{\"name\":\"B\\no\"}}"}`},
		{"member added without info", AppendMemberAdded(nil, "presence-a", Member{UserID: "9"}),
			`{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":\"9\"}"}`},
		{"member removed", AppendMemberRemoved(nil, "presence-a", `a"b`),
			`{"event":"pusher_internal:member_removed","channel":"presence-a","data":"{\"user_id\":\"a\\\"b\"}"}`},
		{"subscription count", AppendSubscriptionCount(nil, "news", 12),
			`{"event":"pusher_internal:subscription_count","channel":"news","data":"{\"subscription_count\":12}"}`},
		{"cache miss", AppendCacheMiss(nil, "cache-x"), `{"event":"pusher:cache_miss","channel":"cache-x"}`},
		{"sign-in", AppendSigninSuccess(nil, `{"id":"u1"}`),
			`{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"u1\\\"}\"}"}`},
		{"watchlist", AppendWatchlist(nil, []string{"u2"}, []string{"u3", "u4"}),
			`{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"u2\"]},{\"name\":\"offline\",\"user_ids\":[\"u3\",\"u4\"]}]}"}`},
		{"watchlist online", AppendWatchlist(nil, []string{"u2"}, nil),
			`{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"u2\"]}]}"}`},
		{"watchlist offline", AppendWatchlist(nil, nil, []string{"u3"}),
			`{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"u3\"]}]}"}`},
		{"error", AppendError(nil, 4301, "client events: 11 in 1 s, limit 10 (limits.client_events_per_second)"),
			`{"event":"pusher:error","data":{"code":4301,"message":"client events: 11 in 1 s, limit 10 (limits.client_events_per_second)"}}`},
		{"subscription error", AppendSubscriptionError(nil, "private-a", "AuthError", "signature does not match socket_id:channel", 401),
			`{"event":"pusher:subscription_error","channel":"private-a","data":"{\"type\":\"AuthError\",\"error\":\"signature does not match socket_id:channel\",\"status\":401}"}`},
		{"subscription error on a strange name", AppendSubscriptionError(nil, "a\"\n", "BadRequest", `a "b"`, 400),
			`{"event":"pusher:subscription_error","channel":"a\"\n","data":"{\"type\":\"BadRequest\",\"error\":\"a \\\"b\\\"\",\"status\":400}"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if string(c.got) != c.want {
				t.Errorf("got\n%s\nwant\n%s", c.got, c.want)
			}
		})
	}
}

// TestEncodersAppend: every encoder leaves what stands before it, in whatever
// capacity there is.
func TestEncodersAppend(t *testing.T) {
	long := strings.Repeat(`"\`, 100)
	for room := range 700 {
		dst := append(make([]byte, 0, 3+room), "abc"...)
		dst = AppendMemberRemoved(dst, "presence-a", long)
		text, ok := strings.CutPrefix(string(dst), "abc")
		var told, inner map[string]any
		if !ok || json.Unmarshal([]byte(text), &told) != nil {
			t.Fatalf("with room for %d bytes: %q", room, dst)
		}
		if data, _ := told["data"].(string); json.Unmarshal([]byte(data), &inner) != nil || inner["user_id"] != long {
			t.Fatalf("with room for %d bytes: data %q", room, data)
		}
	}
}

func TestEncodersAllocations(t *testing.T) {
	dst := make([]byte, 0, 16<<10)
	members := []Member{{UserID: "7", Info: []byte(`{"name":"Ann"}`)}, {UserID: "9"}}
	ids, data := []string{"u1", "u2"}, sampleData(1024)
	if n := testing.AllocsPerRun(1000, func() {
		dst = AppendEvent(dst[:0], `App\Events\X`, "private-a", data, EventOptions{UserID: "7", Cached: true})
		dst = AppendEstablished(dst[:0], "1.2", 120, true)
		dst = AppendSucceeded(dst[:0], "presence-a", data, Success{})
		dst = AppendPresenceData(dst[:0], members)
		dst = AppendMemberAdded(dst[:0], "presence-a", members[0])
		dst = AppendMemberRemoved(dst[:0], "presence-a", "7")
		dst = AppendSubscriptionCount(dst[:0], "a", 12)
		dst = AppendCacheMiss(dst[:0], "cache-x")
		dst = AppendSigninSuccess(dst[:0], data)
		dst = AppendWatchlist(dst[:0], ids, ids)
		dst = AppendError(dst[:0], 4200, "Invalid message format")
		dst = AppendSubscriptionError(dst[:0], "a", "AuthError", "no", 401)
	}); n > 0 {
		t.Errorf("encoding into a large enough slice allocates %v times", n)
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	data := sampleData(100)
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendEvent(dst[:0], `App\Events\OrderShipped`, "private-orders.1", data, EventOptions{})
	}
}

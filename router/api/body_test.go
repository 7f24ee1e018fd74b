package api

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// referenceEvent reads an event with the standard library: slow, and lax where
// the decoder is strict, so ok says whether a strict reader takes the text, too.
func referenceEvent(body []byte) (members map[string]any, ok bool) {
	if !utf8.Valid(body) || !json.Valid(body) || hasDuplicates(json.NewDecoder(bytes.NewReader(body))) {
		return nil, false
	}
	if json.Unmarshal(body, &members) != nil || members == nil {
		return nil, false
	}
	return members, true
}

// hasDuplicates reads one value and tells whether an object in it repeats a name.
func hasDuplicates(d *json.Decoder) bool {
	token, err := d.Token()
	if err != nil {
		return false
	}
	switch token {
	case json.Delim('{'):
		seen := map[any]bool{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return false
			}
			if seen[name] {
				return true
			}
			seen[name] = true
			if hasDuplicates(d) {
				return true
			}
		}
	case json.Delim('['):
		for d.More() {
			if hasDuplicates(d) {
				return true
			}
		}
	default:
		return false
	}
	_, err = d.Token()
	return err != nil
}

// FuzzReadEvent holds the decoder to the standard library: what it takes means the
// same there, and what it calls no JSON is none.
func FuzzReadEvent(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"x","data":"{}","channel":"a"}`, event("channels", `["a","b","c"]`), event("channels", `["a","b","c","d","e"]`), event("info", `"user_count"`),
		event("socket_id", `"1.2"`), event("durable", `true`), event("idempotency_key", `"k"`), event("data", `"\u00e9\ud83d\ude00\n"`),
		event("tag", `{"a":[1,2.5e-3,{"b":null}]}`), `{"name":null,"data":7}`, `{"name":"x","name":"y"}`, `[]`, `"x"`, ``, ` {} `, `{} {}`, "{\"name\":\"\xff\"}",
		`{"n\u0061me":"x"}`, `{"name":"\ud800"}`, strings.Repeat(`{"a":`, 50) + `1` + strings.Repeat(`}`, 50),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		original := bytes.Clone(body)
		d := new(decoder)
		sub, r := d.readEvent(body, 2)
		d.release()
		if !bytes.Equal(body, original) {
			t.Fatal("the decoder changed the body")
		}
		members, valid := referenceEvent(body)
		if r != nil {
			// The standard library replaces an unpaired surrogate, the decoder refuses it.
			if valid && strings.Contains(r.text, "is not JSON") && !bytes.Contains(bytes.ToLower(body), []byte(`\ud`)) {
				t.Fatalf("refused %q: %s", body, r.text)
			}
			return
		}
		if !valid {
			t.Fatalf("took %q", body)
		}
		wantString := func(name, got string, bit memberSet) {
			want, is := members[name].(string)
			if is != (sub.given&bit != 0) || got != want {
				t.Fatalf("%s of %q is %q, want %q", name, body, got, want)
			}
		}
		wantString("name", sub.event.Name, hasEvent)
		wantString("data", sub.event.Data, hasData)
		wantString("socket_id", sub.event.Except, hasSocketID)
		wantString("info", sub.info, hasInfo)
		wantString("idempotency_key", sub.key, hasKey)
		var want []string
		if c, is := members["channel"].(string); is {
			want = append(want, c)
		}
		if all, is := members["channels"].([]any); is {
			for _, c := range all {
				want = append(want, c.(string)) //nolint:forcetypeassert // the decoder took it
			}
		}
		if sub.named != len(want) {
			t.Fatalf("%q names %d channels, got %d", body, len(want), sub.named)
		}
		// With both members, which one is kept beyond the limit depends on their order; check refuses that.
		if sub.given&(hasChannel|hasChannels) != hasChannel|hasChannels && !slices.Equal(sub.event.Channels, want[:min(len(want), 3)]) {
			t.Fatalf("channels of %q are %q", body, sub.event.Channels)
		}
	})
}

// memberSet is members, whose name the tests use for what the reference found.
type memberSet = members

// FuzzReadBatch: a batch holds what its events hold when they are read one by one.
func FuzzReadBatch(f *testing.F) {
	item := `{"name":"x","data":"{}","channel":"a"}`
	for _, seed := range []string{
		`{"batch":[` + item + `]}`, `{"batch":[` + item + `,` + item + `],"durable":true}`, `{"batch":[]}`, `{"batch":null}`, `{"batch":{}}`,
		`{"batch":[1]}`, `{"batch":[` + item + `,`, `{"idempotency_key":"k","batch":[` + item + strings.Repeat(`,`+item, 5) + `]}`, `{"batch":[],"batch":[]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := new(decoder)
		b, r := d.readBatch(body, 3, 1)
		if r != nil {
			return
		}
		var reference struct {
			Batch []json.RawMessage `json:"batch"`
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		if err := dec.Decode(&reference); err != nil {
			t.Fatalf("took %q, the standard library says %v", body, err)
		}
		if _, err := dec.Token(); err != io.EOF {
			t.Fatalf("took %q, which goes on", body)
		}
		// The standard library also takes "Batch" for batch.
		if !bytes.Contains(body, []byte(`"batch"`)) || strings.Contains(strings.Replace(strings.ToLower(string(body)), `"batch"`, "", 1), "batch") {
			return
		}
		if b.named != len(reference.Batch) || len(b.events) != min(b.named, 4) {
			t.Fatalf("%q has %d events, got %d, kept %d", body, len(reference.Batch), b.named, len(b.events))
		}
		for i, sub := range b.events {
			alone, r := new(decoder).readEvent(reference.Batch[i], 1)
			if r != nil {
				t.Fatalf("event %d of %q alone: %s", i, body, r.text)
			}
			if alone.given != sub.given || alone.event.Name != sub.event.Name || alone.event.Data != sub.event.Data || alone.info != sub.info || !slices.Equal(alone.event.Channels, sub.event.Channels) {
				t.Fatalf("event %d of %q is %+v, alone %+v", i, body, sub, alone)
			}
		}
	})
}

// FuzzLocate: a target comes apart into what it was made of.
func FuzzLocate(f *testing.F) {
	for _, seed := range []string{"/up", "/apps/3/events?a=b", "/apps/3/channels/a%2Fb/users", "/apps/3/channels/a/history?limit=1", "/app/k/session", "/apps/3/users/a/b/terminate_connections", "/apps/%/channels", "*", "", "/ws/up"} {
		f.Add(seed, "")
		f.Add(seed, "/ws")
	}
	f.Fuzz(func(t *testing.T, target, prefix string) {
		p := locate(target, prefix)
		if p.route == routeOther {
			if p.app != "" || p.name != "" {
				t.Fatalf("%q is no place but has %+v", target, p)
			}
			return
		}
		whole := prefix + p.path
		if strings.Contains(target, "?") {
			whole += "?" + p.query
		}
		if whole != target {
			t.Fatalf("%q came apart into %+v", target, p)
		}
		needsName := p.route == routeChannel || p.route == routeUsers || p.route == routeHistory || p.route == routeTerminate
		if (p.name != "") != needsName || (p.app != "") != (p.route != routeUp) {
			t.Fatalf("%q has %+v", target, p)
		}
	})
}

// TestDecoderKeepsNothing: a decoder that served a body serves the next one as if new.
func TestDecoderKeepsNothing(t *testing.T) {
	d := new(decoder)
	for _, body := range []string{event("channels", `["a","b"]`), `{"name":"cut`, `{}`, event("data", `"`+strings.Repeat("x", 1<<17)+`"`), `{"n\u0061me":"x"}`} {
		fresh, freshRefusal := new(decoder).readEvent([]byte(body), 100)
		used, usedRefusal := d.readEvent([]byte(body), 100)
		d.release()
		if (freshRefusal == nil) != (usedRefusal == nil) {
			t.Fatalf("%.20s: %v, with a used decoder %v", body, freshRefusal, usedRefusal)
		}
		if freshRefusal == nil && (fresh.event.Name != used.event.Name || fresh.event.Data != used.event.Data || !slices.Equal(fresh.event.Channels, used.event.Channels) || fresh.given != used.given) {
			t.Fatalf("%.20s: %+v, with a used decoder %+v", body, fresh, used)
		}
		if cap(d.text) > 64<<10 || d.src.Len() != 0 {
			t.Fatalf("%.20s: the decoder keeps %d bytes of scratch", body, cap(d.text))
		}
	}
}

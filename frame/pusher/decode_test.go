package pusher

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecode(t *testing.T) {
	type want struct {
		event, channel, data string
		isString             bool
	}
	for _, c := range []struct {
		name, in string
		want     want
	}{
		{"ping", `{"event":"pusher:ping","data":{}}`, want{event: "pusher:ping", data: "{}"}},
		{"ping without data", `{"event":"pusher:ping"}`, want{event: "pusher:ping"}},
		{"data as a string", `{"event":"pusher:pong","data":"{}"}`, want{event: "pusher:pong", data: `"{}"`, isString: true}},
		{"subscribe", `{"event":"pusher:subscribe","data":{"auth":"","channel":"news"}}`,
			want{event: "pusher:subscribe", data: `{"auth":"","channel":"news"}`}},
		{"client event", `{"event":"client-typing","channel":"private-a","data":{"x":1}}`,
			want{event: "client-typing", channel: "private-a", data: `{"x":1}`}},
		{"members in any order", `{"data":[1,2],"channel":"a","event":"client-x"}`, want{event: "client-x", channel: "a", data: "[1,2]"}},
		{"white space everywhere", " \t\r\n{ \"event\" : \"e\" ,\n\"data\" : [ 1 , 2 ] } \n", want{event: "e", data: "[ 1 , 2 ]"}},
		{"other members", `{"event":"e","seq":12,"deep":{"event":"no","a":[{"channel":"no"}]},"user_id":"7"}`, want{event: "e"}},
		{"escaped values", `{"event":"client-\u0041\n","channel":"a\/b"}`, want{event: "client-A\n", channel: "a/b"}},
		{"escaped names", `{"\u0065vent":"e","chann\u0065l":"c","\u0064\u0061\u0074\u0061":1}`, want{event: "e", channel: "c", data: "1"}},
		{"the last of two counts", `{"event":"a","event":"b","data":1,"data":"2"}`, want{event: "b", data: `"2"`, isString: true}},
		{"letter case counts", `{"event":"e","Event":"no","CHANNEL":"no"}`, want{event: "e"}},
		{"null channel", `{"event":"e","channel":null,"data":null}`, want{event: "e", data: "null"}},
		{"surrogate pair", `{"event":"\ud83d\ude00"}`, want{event: "\U0001F600"}},
		{"half a surrogate pair", `{"event":"\ud83dx"}`, want{event: "\uFFFDx"}},
		{"number forms", `{"event":"e","data":[0,-0,1.5,-1e9,1E+2,10.0e-3]}`, want{event: "e", data: `[0,-0,1.5,-1e9,1E+2,10.0e-3]`}},
		{"nested as deep as may be", `{"event":"e","data":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`,
			want{event: "e", data: strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1)}},
		{"objects as deep as may be", `{"event":"e","data":` + strings.Repeat(`{"a":`, maxDepth-1) + "1" + strings.Repeat("}", maxDepth-1) + `}`,
			want{event: "e", data: strings.Repeat(`{"a":`, maxDepth-1) + "1" + strings.Repeat("}", maxDepth-1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			var m Message
			if err := d.Decode([]byte(c.in), &m); err != nil {
				t.Fatal(err)
			}
			got := want{string(m.Event), string(m.Channel), string(m.Data), m.DataIsString}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"nothing", ``},
		{"white space", `  `},
		{"a word", `ping`},
		{"an array", `[{"event":"e"}]`},
		{"a string", `"{\"event\":\"e\"}"`},
		{"null", `null`},
		{"no event", `{"channel":"a","data":{}}`},
		{"an empty event", `{"event":""}`},
		{"a null event", `{"event":null}`},
		{"a number as event", `{"event":1}`},
		{"an object as event", `{"event":{}}`},
		{"a number as channel", `{"event":"e","channel":1}`},
		{"two messages", `{"event":"e"}{"event":"e"}`},
		{"text behind", `{"event":"e"}x`},
		{"a byte order mark", "\xef\xbb\xbf" + `{"event":"e"}`},
		{"a NUL behind", "{\"event\":\"e\"}\x00"},
		{"no end", `{"event":"e"`},
		{"no end in a string", `{"event":"e`},
		{"no end behind a comma", `{"event":"e",`},
		{"comma at the end", `{"event":"e",}`},
		{"comma at the beginning", `{,"event":"e"}`},
		{"two commas", `{"event":"e",,"data":1}`},
		{"no comma", `{"event":"e" "data":1}`},
		{"no colon", `{"event" "e"}`},
		{"no value", `{"event":"e","data":}`},
		{"a bare name", `{event:"e"}`},
		{"single quotes", `{'event':'e'}`},
		{"comma at the end of an array", `{"event":"e","data":[1,]}`},
		{"comma at the end of an object inside", `{"event":"e","data":{"a":1,}}`},
		{"array closed by a brace", `{"event":"e","data":[1}}`},
		{"object closed by a bracket", `{"event":"e","data":{"a":1]}`},
		{"name without value inside", `{"event":"e","data":{"a"}}`},
		{"line end in a string", "{\"event\":\"a\nb\"}"},
		{"tab in a string", "{\"event\":\"a\tb\"}"},
		{"control character in a name", "{\"event\":\"e\",\"a\x01\":1}"},
		{"unknown escape", `{"event":"\x41"}`},
		{"escape at the end", `{"event":"\`},
		{"short unicode escape", `{"event":"\u00e"}`},
		{"unicode escape that is not hexadecimal", `{"event":"\u00g0"}`},
		{"leading zero", `{"event":"e","data":01}`},
		{"plus sign", `{"event":"e","data":+1}`},
		{"lone minus", `{"event":"e","data":-}`},
		{"point without digits", `{"event":"e","data":1.}`},
		{"point first", `{"event":"e","data":.5}`},
		{"exponent without digits", `{"event":"e","data":1e}`},
		{"exponent with only a sign", `{"event":"e","data":1e+}`},
		{"hexadecimal number", `{"event":"e","data":0x10}`},
		{"NaN", `{"event":"e","data":NaN}`},
		{"Infinity", `{"event":"e","data":-Infinity}`},
		{"word with a capital", `{"event":"e","data":True}`},
		{"word cut short", `{"event":"e","data":tru}`},
		{"word too long", `{"event":"e","data":nulll}`},
		{"undefined", `{"event":"e","data":undefined}`},
		{"comment", `{"event":"e"/**/}`},
		{"other white space", "{\"event\":\"e\"\v}"},
		{"no-break space", "{\"event\":\u00a0\"e\"}"},
		{"arrays too deep", `{"event":"e","data":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`},
		{"objects too deep", `{"event":"e","data":` + strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth) + `}`},
		{"very deep", strings.Repeat("[", 1<<16)},
		{"very deep objects", strings.Repeat(`{"event":`, 1<<14)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			var m Message
			if err := d.Decode([]byte(c.in), &m); err != ErrMalformed { //nolint:errorlint // exactly this one
				t.Errorf("got %v, %+v", err, m)
			}
		})
	}
}

// TestDecodeEveryPrefix: no part of a message is a message, and none is read beyond.
func TestDecodeEveryPrefix(t *testing.T) {
	whole := []byte(`{"event":"client-\u00e9\ud83d\ude00","channel":"presence-a","data":{"a":[1.5e-3,true,false,null,"x\n"],"b":{}},"z":-0}`)
	var d Decoder
	var m Message
	for n := range whole {
		part := bytes.Clone(whole[:n])
		if d.Decode(part, &m) == nil {
			t.Fatalf("%q was taken for a message", part)
		}
	}
	if err := d.Decode(whole, &m); err != nil {
		t.Fatal(err)
	}
}

func TestDecoderString(t *testing.T) {
	var d Decoder
	for _, c := range []struct {
		data, want string
		ok         bool
	}{
		{`"plain"`, "plain", true},
		{`""`, "", true},
		{`"{\"a\":\"\\n\"}"`, `{"a":"\n"}`, true},
		{`"\ud83d\ude00\ud83d"`, "\U0001F600\uFFFD", true},
		{`{}`, "", false},
		{`null`, "", false},
		{``, "", false},
	} {
		got, err := d.String([]byte(c.data))
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("String(%s) = %q, %v", c.data, got, err)
		}
	}
}

// TestDecoderReuse: what was decoded stays as it is until the next Decode, while
// its data is read.
func TestDecoderReuse(t *testing.T) {
	var d Decoder
	var m Message
	if err := d.Decode([]byte(`{"event":"\u0061\u0062","channel":"\u0063","data":"{\"channel\":\"\\u0064\"}"}`), &m); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		channel, err := d.Unsubscribe(m.Data)
		if err != nil || string(channel) != "d" {
			t.Fatalf("got %q, %v", channel, err)
		}
		if text, err := d.String(m.Data); err != nil || text != `{"channel":"\u0064"}` {
			t.Fatalf("got %q, %v", text, err)
		}
		if string(m.Event) != "ab" || string(m.Channel) != "c" {
			t.Fatalf("the message became %q on %q", m.Event, m.Channel)
		}
	}
}

// TestDecoderForgetsLargeScratch: one large message does not hold memory for ever.
func TestDecoderForgetsLargeScratch(t *testing.T) {
	var d Decoder
	var m Message
	for end, next := range map[string]func() error{
		"the next message": func() error { return d.Decode([]byte(`{"event":"e"}`), &m) },
		"Forget":           func() error { d.Forget(&m); return nil },
	} {
		large := []byte(`{"event":"e","data":"` + strings.Repeat(`\u0061`, 2*maxScratch) + `"}`)
		if err := d.Decode(large, &m); err != nil {
			t.Fatal(err)
		}
		if _, err := d.String(m.Data); err != nil {
			t.Fatal(err)
		}
		if err := next(); err != nil {
			t.Fatal(err)
		}
		if n := cap(d.scratch); n > maxScratch || m.Data != nil {
			t.Errorf("after %s the decoder keeps %d bytes, and %d of the message", end, n, len(m.Data))
		}
		if err := d.Decode([]byte(`{"event":"\u0061"}`), &m); err != nil || string(m.Event) != "a" {
			t.Errorf("the message behind %s: %q, %v", end, m.Event, err)
		}
	}
}

// reference reads a message with encoding/json.
func reference(p []byte) (m Message, ok bool) {
	if !json.Valid(p) || depth(p) > maxDepth {
		return m, false
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(p, &all) != nil || all == nil {
		return m, false
	}
	text := func(name string) ([]byte, bool) {
		raw, found := all[name]
		if !found {
			return nil, true
		}
		var s *string
		if json.Unmarshal(raw, &s) != nil {
			return nil, false
		}
		if s == nil {
			return nil, true
		}
		return []byte(*s), true
	}
	event, okEvent := text("event")
	channel, okChannel := text("channel")
	data := all["data"]
	m = Message{Event: event, Channel: channel, Data: data, DataIsString: len(data) > 0 && data[0] == '"'}
	return m, okEvent && okChannel && len(event) > 0
}

// depth is the deepest nesting of a valid JSON text.
func depth(p []byte) (deepest int) {
	now, inString := 0, false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// FuzzDecode compares with encoding/json: the same texts are messages, and they say
// the same. Values are compared where they stand, without copies in between.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"event":"pusher:ping","data":{}}`,
		`{"event":"client-x","channel":"private-a","data":"{\"a\":[1,2.5e-7,\"\\u00e9\"]}"}`,
		` {"\u0065vent" : "a" , "event":"\ud83d\ude00\ud800", "data" :null} `,
		`{"event":"e","data":[[[[{}]],[],{"a":{}}]],"channel":null,"x":-0.1E+5,"y":true,"z":false}`,
		`{"event":"e","event":1}`, `{"event":"e"`, `[]`, `{"event":"e","data":01}`, `{"event":"e","data":"` + "\x7f" + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(compareDecode)
}

// compareDecode fails when Decode and encoding/json differ on p.
func compareDecode(t *testing.T, p []byte) {
	if !utf8.Valid(p) {
		return // refused before it comes here
	}
	before := bytes.Clone(p)
	var d Decoder
	var got Message
	err := d.Decode(p, &got)
	if !bytes.Equal(p, before) {
		t.Fatal("the message was written to")
	}
	want, ok := reference(p)
	if ok != (err == nil) {
		t.Fatalf("Decode(%q) = %v, encoding/json says %v", p, err, ok)
	}
	if !ok {
		return
	}
	if !bytes.Equal(got.Event, want.Event) || !bytes.Equal(got.Channel, want.Channel) || (got.Channel == nil) != (want.Channel == nil) ||
		!bytes.Equal(got.Data, want.Data) || (got.Data == nil) != (want.Data == nil) || got.DataIsString != want.DataIsString {
		t.Fatalf("Decode(%q)\n got %+v\nwant %+v", p, got, want)
	}
	if got.DataIsString {
		var text string
		if json.Unmarshal(want.Data, &text) != nil {
			t.Fatal("the reference is wrong")
		}
		if s, err := d.String(got.Data); err != nil || s != text {
			t.Fatalf("String(%q) = %q, %v, want %q", got.Data, s, err, text)
		}
	}
}

// TestDecodeMutations compares on messages with a few bytes changed: what a fuzzer
// does, but the same in every run and without its overhead.
func TestDecodeMutations(t *testing.T) {
	seeds := []string{
		`{"event":"client-x","channel":"private-a","data":{"a":[1,2.5e-7,"\u00e9",true,false,null,{}],"b":"x"}}`,
		` {"\u0065vent" : "a\n\ud83d\ude00" , "data" : "{\"a\":\"\\n\"}" } `,
		`{"event":"e","data":[[[{}]],[],-0.1E+5,{"a":{"b":[0]}}],"channel":null}`,
	}
	const bytesOfJSON = "{}[]\":,\\/ \n\t\r\x00\x1f0123456789-+.eEtrufalsn\u00e9ud8cXb'"
	rng := rand.New(rand.NewPCG(1, 2))
	for range 30_000 {
		p := []byte(seeds[rng.IntN(len(seeds))])
		for range 1 + rng.IntN(3) {
			at, c := rng.IntN(len(p)), bytesOfJSON[rng.IntN(len(bytesOfJSON))]
			switch rng.IntN(4) {
			case 0:
				p[at] = c
			case 1:
				p = slices.Insert(p, at, c)
			case 2:
				p = slices.Delete(p, at, at+1)
			case 3:
				from := rng.IntN(len(p))
				p = slices.Insert(p, at, p[from:min(from+rng.IntN(8), len(p))]...)
			}
		}
		compareDecode(t, p)
	}
}

func TestDecodeAllocations(t *testing.T) {
	var d Decoder
	var m Message
	var s Subscribe
	messages := [][]byte{
		[]byte(`{"event":"pusher:ping","data":{}}`),
		[]byte(`{"event":"client-typing","channel":"private-a","data":` + sampleData(1024) + `}`),
		[]byte(`{"event":"client-\u00e9","channel":"private-\u0061","data":{"x":1}}`),
		[]byte(`{"event":"pusher:subscribe","data":{"auth":"","channel":"news"}}`),
		[]byte(`{"event":"pusher:subscribe","data":"{\"auth\":\"\",\"channel\":\"news\"}"}`),
		[]byte(`{"event":"pusher:subscribe","data":{"auth":"KEY:HEX","channel_data":"{\"user_id\":\"7\"}","channel":"presence-a"}}`),
		[]byte(`{"event":`),
	}
	all := func() {
		for _, p := range messages {
			if d.Decode(p, &m) == nil && string(m.Event) == "pusher:subscribe" {
				if d.Subscribe(m.Data, &s) != nil {
					panic("a good subscribe was refused")
				}
			}
		}
	}
	all() // the scratch grows once
	if n := testing.AllocsPerRun(1000, all); n > 0 {
		t.Errorf("decoding messages allocates %v times", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct{ name, in string }{
		{"ping", `{"event":"pusher:ping","data":{}}`},
		{"subscribe", `{"event":"pusher:subscribe","data":{"auth":"","channel":"private-orders.1"}}`},
		{"client event 1 KiB", `{"event":"client-typing","channel":"private-a","data":` + sampleData(1024) + `}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			var d Decoder
			var m Message
			p := []byte(c.in)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if d.Decode(p, &m) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}

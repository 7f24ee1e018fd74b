package pusher

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestSubscribe(t *testing.T) {
	type want struct {
		channel, auth, channelData string
		hasData                    bool
	}
	for _, c := range []struct {
		name, data string
		want       want
	}{
		{"public", `{"auth":"","channel":"news"}`, want{channel: "news"}},
		{"public without auth", `{"channel":"news"}`, want{channel: "news"}},
		{"null auth", `{"auth":null,"channel":"news"}`, want{channel: "news"}},
		{"private", `{"auth":"KEY:HEX","channel":"private-a"}`, want{channel: "private-a", auth: "KEY:HEX"}},
		{"presence", `{"auth":"KEY:HEX","channel_data":"{\"user_id\":\"7\"}","channel":"presence-a"}`,
			want{"presence-a", "KEY:HEX", `{"user_id":"7"}`, true}},
		{"null channel_data", `{"auth":"K:H","channel_data":null,"channel":"presence-a"}`, want{channel: "presence-a", auth: "K:H"}},
		{"empty channel_data", `{"auth":"K:H","channel_data":"","channel":"presence-a"}`, want{channel: "presence-a", auth: "K:H"}},
		{"channel_data that is an object stands for itself", `{"auth":"K:H","channel_data":{"user_id": 7},"channel":"presence-a"}`,
			want{"presence-a", "K:H", `{"user_id": 7}`, true}},
		{"other members", `{"channel":"a","recover":{"epoch":"k3f9","seq":1},"rewind":10}`, want{channel: "a"}},
		{"as a string", `"{\"auth\":\"K:H\",\"channel_data\":\"{\\\"user_id\\\":\\\"\\\\u0037\\\"}\",\"channel\":\"presence-\\u0061\"}"`,
			want{"presence-a", "K:H", `{"user_id":"\u0037"}`, true}},
		{"the last of two counts", `{"channel":"a","channel":"b"}`, want{channel: "b"}},
		{"an empty name is a name", `{"channel":""}`, want{}},
		{"an empty name in a string", `"{\"auth\":\"K:H\",\"channel\":\"\"}"`, want{auth: "K:H"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			var s Subscribe
			if err := d.Subscribe([]byte(c.data), &s); err != nil {
				t.Fatal(err)
			}
			if got := (want{string(s.Channel), string(s.Auth), string(s.ChannelData), s.HasChannelData}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// badData is what is no data of a request about a channel.
var badData = []struct{ name, data string }{
	{"nothing", ``},
	{"null", `null`},
	{"a number", `7`},
	{"an array", `["news"]`},
	{"no channel", `{"auth":""}`},
	{"null channel", `{"channel":null}`},
	{"a number as channel", `{"channel":7}`},
	{"an object as channel", `{"channel":{}}`},
	{"a string that is no JSON", `"news"`},
	{"a string with half an object", `"{\"channel\":\"news\""`},
	{"a string with more than an object", `"{\"channel\":\"news\"} x"`},
	{"a string in a string", `"\"{}\""`},
	{"an empty string", `""`},
}

func TestSubscribeRefuses(t *testing.T) {
	for _, c := range append(badData, struct{ name, data string }{"a number as auth", `{"channel":"a","auth":1}`}) {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			var s Subscribe
			if err := d.Subscribe([]byte(c.data), &s); err != ErrMalformed { //nolint:errorlint // exactly this one
				t.Errorf("got %v, %+v", err, s)
			}
		})
	}
}

func TestUnsubscribe(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"object", `{"channel":"news"}`, "news"},
		{"string", `"{\"channel\":\"news\"}"`, "news"},
		{"escapes", `{"channel":"n\u0065ws"}`, "news"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			if got, err := d.Unsubscribe([]byte(c.data)); err != nil || string(got) != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	for _, c := range append(badData, struct{ name, data string }{"empty channel", `{"channel":""}`}) {
		t.Run("refused: "+c.name, func(t *testing.T) {
			var d Decoder
			if got, err := d.Unsubscribe([]byte(c.data)); err != ErrMalformed { //nolint:errorlint // exactly this one
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestSignin(t *testing.T) {
	for _, c := range []struct{ name, data, auth, userData string }{
		{"object", `{"auth":"K:H","user_data":"{\"id\":\"u1\"}"}`, "K:H", `{"id":"u1"}`},
		{"string", `"{\"auth\":\"K:H\",\"user_data\":\"{}\"}"`, "K:H", `{}`},
		{"no auth", `{"user_data":"{}"}`, "", `{}`},
		{"user_data that is an object stands for itself", `{"auth":"K:H","user_data":{"id":"u1"}}`, "K:H", `{"id":"u1"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			var s Signin
			if err := d.Signin([]byte(c.data), &s); err != nil || string(s.Auth) != c.auth || string(s.UserData) != c.userData {
				t.Errorf("got %v, %q, %q", err, s.Auth, s.UserData)
			}
		})
	}
	for _, data := range []string{``, `null`, `[]`, `{"auth":"K:H"}`, `{"auth":"K:H","user_data":null}`, `{"auth":1,"user_data":"{}"}`, `{"user_data":"{}"`} {
		t.Run("refused: "+data, func(t *testing.T) {
			var d Decoder
			var s Signin
			if err := d.Signin([]byte(data), &s); err != ErrMalformed { //nolint:errorlint // exactly this one
				t.Errorf("got %v, %+v", err, s)
			}
		})
	}
}

// FuzzSubscribe compares with encoding/json: data of a message is a subscribe to the
// one exactly when it is to the other, and says the same; an unsubscribe reads the
// same channel.
func FuzzSubscribe(f *testing.F) {
	for _, s := range []string{
		`{"auth":"K:H","channel":"private-a","channel_data":"{\"user_id\":\"7\"}"}`,
		`"{\"channel\":\"a\",\"channel_data\":{\"user_id\": 7}}"`,
		`{"channel":"","auth":null}`, `{"ch\u0061nnel":"\ud83d\ude00","channel":"b"}`, `{"channel":7}`, `[]`, `null`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Decoder
		var m Message
		message := []byte(`{"event":"e","data":` + string(data) + `}`)
		if !utf8.Valid(data) || d.Decode(message, &m) != nil || m.Data == nil {
			return
		}
		var got Subscribe
		err := d.Subscribe(m.Data, &got)
		want, ok := referenceSubscribe(m.Data)
		if ok != (err == nil) {
			t.Fatalf("Subscribe(%q) = %v, encoding/json says %v", m.Data, err, ok)
		}
		if ok && (!bytes.Equal(got.Channel, want.Channel) || !bytes.Equal(got.Auth, want.Auth) || !bytes.Equal(got.ChannelData, want.ChannelData) ||
			got.HasChannelData != (len(want.ChannelData) > 0)) {
			t.Fatalf("Subscribe(%q)\n got %+v\nwant %+v", m.Data, got, want)
		}
		if channel, err := d.Unsubscribe(m.Data); ok && len(want.Channel) > 0 && (err != nil || !bytes.Equal(channel, want.Channel)) {
			t.Fatalf("Unsubscribe(%q) = %q, %v", m.Data, channel, err)
		}
	})
}

// referenceSubscribe reads a subscribe with encoding/json.
func referenceSubscribe(data []byte) (s Subscribe, ok bool) {
	var text string
	if json.Unmarshal(data, &text) == nil && data[0] == '"' {
		data = []byte(text)
	}
	if !json.Valid(data) || depth(data) > maxDepth {
		return s, false
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(data, &all) != nil || all == nil {
		return s, false
	}
	str := func(name string) *string {
		var s *string
		if raw, found := all[name]; found && json.Unmarshal(raw, &s) != nil {
			ok = false
		}
		return s
	}
	ok = true
	channel, auth := str("channel"), str("auth")
	if !ok || channel == nil {
		return s, false
	}
	s.Channel = []byte(*channel)
	if auth != nil {
		s.Auth = []byte(*auth)
	}
	if raw := all["channel_data"]; len(raw) > 0 && raw[0] == '"' {
		s.ChannelData = []byte(*str("channel_data"))
	} else if string(raw) != "null" {
		s.ChannelData = raw
	}
	return s, true
}

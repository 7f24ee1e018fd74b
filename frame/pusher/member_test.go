package pusher

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseChannelData(t *testing.T) {
	for _, c := range []struct{ name, in, id, info string }{
		{"id and info", `{"user_id":"7","user_info":{"name":"Ann"}}`, "7", `{"name":"Ann"}`},
		{"id alone", `{"user_id":"7"}`, "7", ""},
		{"number", `{"user_id":7}`, "7", ""},
		{"large number", `{"user_id":123456789012345678901234567890}`, "123456789012345678901234567890", ""},
		{"negative number", `{"user_id":-7}`, "-7", ""},
		{"escapes", `{"user_id":"\u00e9\n"}`, "\u00e9\n", ""},
		{"info of any kind", `{"user_id":"7","user_info":true}`, "7", "true"},
		{"null info", `{"user_id":"7","user_info":null}`, "7", "null"},
		{"white space in info is dropped", " { \"user_id\" : \"7\" , \"user_info\" : { \"a\" : [ 1 , \" \" ] } } ", "7", `{"a":[1," "]}`},
		{"other members", `{"user_id":"7","x":1}`, "7", ""},
		{"as long as may be", `{"user_id":"` + strings.Repeat("a", 128) + `"}`, strings.Repeat("a", 128), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := ParseChannelData([]byte(c.in), 128, 2048)
			if err != nil || m.UserID != c.id || string(m.Info) != c.info || (m.Info == nil) != (c.info == "") {
				t.Errorf("got %q, %q, %v", m.UserID, m.Info, err)
			}
		})
	}
}

func TestParseChannelDataRefuses(t *testing.T) {
	const notJSON = "channel_data is not valid JSON: UTF-8, no name twice, nested at most 64 deep"
	const notID = "channel_data: user_id must be a string or a whole number"
	for _, c := range []struct{ name, in, want string }{
		{"nothing", ``, "channel_data is not a JSON object"},
		{"null", `null`, "channel_data is not a JSON object"},
		{"string", `"7"`, "channel_data is not a JSON object"},
		{"not JSON", `{"user_id":}`, notJSON},
		{"text behind", `{"user_id":"7"} x`, notJSON},
		{"user_id twice", `{"user_id":"7","user_id":"8"}`, notJSON},
		{"user_id twice by an escape", `{"user_id":"7","user_\u0069d":"8"}`, notJSON},
		{"a name twice inside", `{"user_id":"7","user_info":{"a":1,"a":2}}`, notJSON},
		{"another name twice", `{"user_id":"7","x":1,"x":2}`, notJSON},
		{"bad UTF-8", "{\"user_id\":\"\xff\"}", notJSON},
		{"bad UTF-8 inside", "{\"user_id\":\"7\",\"user_info\":{\"a\":\"\xc3\"}}", notJSON},
		{"half a surrogate pair", `{"user_id":"\ud83d"}`, notJSON},
		{"too deep", `{"user_id":"7","user_info":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, notJSON},
		{"no user_id", `{"user_info":{}}`, "channel_data has no user_id"},
		{"other case", `{"User_ID":"7"}`, "channel_data has no user_id"},
		{"null user_id", `{"user_id":null}`, notID},
		{"fraction", `{"user_id":7.5}`, notID},
		{"exponent", `{"user_id":7e2}`, notID},
		{"object", `{"user_id":{}}`, notID},
		{"true", `{"user_id":true}`, notID},
		{"empty user_id", `{"user_id":""}`, "channel_data: user_id is empty"},
		{"long user_id", `{"user_id":"` + strings.Repeat("a", 129) + `"}`, "channel_data: user_id is 129 bytes, limit 128 (limits.user_id_bytes)"},
		{"too large", `{"user_id":"7","user_info":"` + strings.Repeat("a", 2048) + `"}`, "channel_data is 2078 bytes, limit 2048 (limits.user_info_bytes)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := ParseChannelData([]byte(c.in), 128, 2048)
			if err == nil || err.Error() != c.want || !errors.Is(err, ErrChannelData) {
				t.Errorf("got %+v, %v\nwant %s", m, err, c.want)
			}
		})
	}
}

// TestParsedDataIsCopied: a member may be stored while the message's buffer is reused.
func TestParsedDataIsCopied(t *testing.T) {
	text := []byte(`{"user_id":"user","user_info":{"name":"Ann"}}`)
	m, err := ParseChannelData(text, 128, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text2 := []byte(`{"id":"user","user_info":{"name":"Ann"},"watchlist":["friend"]}`)
	u, err := ParseUserData(text2, 128, 2048, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{text, text2} {
		for i := range b {
			b[i] = 'x'
		}
	}
	if m.UserID != "user" || string(m.Info) != `{"name":"Ann"}` || u.ID != "user" || string(u.Info) != `{"name":"Ann"}` || u.Watchlist[0] != "friend" {
		t.Errorf("the members changed with the buffer: %+v %+v", m, u)
	}
}

func TestParseUserData(t *testing.T) {
	for _, c := range []struct {
		name, in, id, info string
		watch              []string
		cut                bool
	}{
		{"id alone", `{"id":"12345"}`, "12345", "", nil, false},
		{"all of it", `{"id":"u1","user_info":{"n":"Ann"},"watchlist":["u2","u3"]}`, "u1", `{"n":"Ann"}`, []string{"u2", "u3"}, false},
		{"null watchlist", `{"id":"u1","watchlist":null}`, "u1", "", nil, false},
		{"empty watchlist", `{"id":"u1","watchlist":[]}`, "u1", "", nil, false},
		{"watchlist of the limit", `{"id":"u1","watchlist":["a","b","c"]}`, "u1", "", []string{"a", "b", "c"}, false},
		{"watchlist beyond the limit", `{"id":"u1","watchlist":["a","b","c","d"]}`, "u1", "", []string{"a", "b", "c"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := ParseUserData([]byte(c.in), 128, 2048, 3)
			if err != nil || u.ID != c.id || string(u.Info) != c.info || !slices.Equal(u.Watchlist, c.watch) || u.WatchlistCut != c.cut {
				t.Errorf("got %+v, %v", u, err)
			}
		})
	}
}

func TestParseUserDataRefuses(t *testing.T) {
	const notID = "user_data: id must be a string"
	const notList = "user_data: watchlist must be an array of user ids"
	for _, c := range []struct{ name, in, want string }{
		{"not an object", `[]`, "user_data is not a JSON object"},
		{"id twice", `{"id":"a","id":"b"}`, "user_data is not valid JSON: UTF-8, no name twice, nested at most 64 deep"},
		{"no id", `{}`, notID},
		{"null id", `{"id":null}`, notID},
		{"number as id", `{"id":7}`, notID},
		{"empty id", `{"id":""}`, "user_data: id is empty"},
		{"long id", `{"id":"` + strings.Repeat("a", 129) + `"}`, "user_data: id is 129 bytes, limit 128 (limits.user_id_bytes)"},
		{"watchlist of numbers", `{"id":"a","watchlist":[1]}`, notList},
		{"watchlist of null", `{"id":"a","watchlist":[null]}`, notList},
		{"watchlist that is no array", `{"id":"a","watchlist":{"a":1}}`, notList},
		{"empty id watched", `{"id":"a","watchlist":[""]}`, "user_data: watchlist: a user id is empty"},
		{"too large", `{"id":"` + strings.Repeat("a", 2048) + `"}`, "user_data is 2057 bytes, limit 2048 (limits.user_info_bytes)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := ParseUserData([]byte(c.in), 128, 2048, 100)
			if err == nil || err.Error() != c.want || !errors.Is(err, ErrUserData) {
				t.Errorf("got %+v, %v\nwant %s", u, err, c.want)
			}
		})
	}
}

// FuzzChannelData: whatever is admitted is, by another reader, that user with that
// info; and can be told to others.
func FuzzChannelData(f *testing.F) {
	for _, s := range []string{
		`{"user_id":"7","user_info":{"name":"Ann"}}`, `{"user_id":7}`, `{"user_id":"7","user_id":"8"}`, "{\"user_id\":\"\xff\"}",
		`{"user_id":"\ud83d"}`, ` {"user_info":[ 1 , {} ],"user_id":"a"} `, `{"user_id":-0}`, `{"id":"a","watchlist":["b"]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := ParseUserData(b, 128, 2048, 100); err == nil && (u.ID == "" || !utf8.ValidString(u.ID) || len(u.Watchlist) > 100) {
			t.Fatalf("ParseUserData(%q) = %+v", b, u)
		}
		m, err := ParseChannelData(b, 128, 2048)
		if err != nil {
			if !errors.Is(err, ErrChannelData) || !utf8.ValidString(err.Error()) {
				t.Fatalf("ParseChannelData(%q): %v", b, err)
			}
			return
		}
		members := map[string]json.RawMessage{}
		if json.Unmarshal(b, &members) != nil {
			t.Fatalf("%q was admitted and is no JSON", b)
		}
		id := string(members["user_id"])
		if id[0] == '"' && json.Unmarshal(members["user_id"], &id) != nil {
			t.Fatalf("%q was admitted without an id", b)
		}
		if m.UserID != id || m.UserID == "" || !utf8.ValidString(m.UserID) {
			t.Fatalf("ParseChannelData(%q) is user %q, encoding/json says %q", b, m.UserID, id)
		}
		var info bytes.Buffer
		if raw := members["user_info"]; raw != nil && json.Compact(&info, raw) != nil || !bytes.Equal(info.Bytes(), m.Info) {
			t.Fatalf("ParseChannelData(%q) has info %q, encoding/json says %q", b, m.Info, info.Bytes())
		}
		for _, message := range [][]byte{
			AppendMemberAdded(nil, "presence-a", m),
			AppendSucceeded(nil, "presence-a", string(AppendPresenceData(nil, []Member{m})), Success{}),
		} {
			var told struct{ Data string }
			if json.Unmarshal(message, &told) != nil || !json.Valid([]byte(told.Data)) {
				t.Fatalf("%q is told as %q", b, message)
			}
		}
	})
}

func BenchmarkParseChannelData(b *testing.B) {
	text := []byte(`{"user_id":"10427","user_info":{"name":"Ann Example","avatar":"https://cdn.example/a/10427.png"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseChannelData(text, 128, 2048); err != nil {
			b.Fatal(err)
		}
	}
}

package pusher

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		channel string
		want    Kind
	}{
		{"", 0},
		{"news", 0},
		{"private-orders.1", Private},
		{"private-", Private},
		{"private-encrypted-x", Private | Encrypted},
		{"private-cache-x", Private | Cache},
		{"private-encrypted-cache-x", Private | Encrypted | Cache},
		{"private-cache-encrypted-x", Private | Cache},
		{"presence-room", Presence},
		{"presence-cache-room", Presence | Cache},
		{"presence-encrypted-room", Presence},
		{"cache-x", Cache},
		{"#server-to-user-7", ServerToUser},
		// Prefixes are anchored, and their dash is part of them.
		{"privateer", 0},
		{"private", 0},
		{"presence", 0},
		{"presences-x", 0},
		{"cache", 0},
		{"cached-x", 0},
		{"my-private-x", 0},
		{"my-cache-x", 0},
		{"Private-x", 0},
		{"#server-to-users", 0},
		{"#private-x", 0},
	} {
		if got := KindOf(c.channel); got != c.want {
			t.Errorf("KindOf(%q) = %05b, want %05b", c.channel, got, c.want)
		}
	}
}

func TestNeedsAuth(t *testing.T) {
	for channel, want := range map[string]bool{
		"news": false, "cache-x": false, "#server-to-user-7": false,
		"private-x": true, "presence-x": true, "private-encrypted-x": true, "private-cache-x": true, "presence-cache-x": true,
	} {
		if got := KindOf(channel).NeedsAuth(); got != want {
			t.Errorf("a signature for %q: %v, want %v", channel, got, want)
		}
	}
}

func TestValidChannel(t *testing.T) {
	for _, c := range []struct{ name, channel, refusal string }{
		{"plain", "news", ""},
		{"every character", "abcXYZ059-_=@,.;", ""},
		{"model name", "private-App.Models.User.1", ""},
		{"as long as may be", strings.Repeat("a", 200), ""},
		{"empty", "", "channel name is empty"},
		{"too long", strings.Repeat("a", 201), "channel name is 201 bytes, limit 200 (limits.channel_name_bytes)"},
		{"blank", "a b", "channel name must be letters, digits and any of -_=@,.;"},
		{"slash", "a/b", "channel name must be letters, digits and any of -_=@,.;"},
		{"colon", "a:b", "channel name must be letters, digits and any of -_=@,.;"},
		{"hash", "#server-to-user-7", "channel name must be letters, digits and any of -_=@,.;"},
		{"NUL", "a\x00", "channel name must be letters, digits and any of -_=@,.;"},
		{"not ASCII", "caf\u00e9", "channel name must be letters, digits and any of -_=@,.;"},
		{"line end", "news\n", "channel name must be letters, digits and any of -_=@,.;"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := ValidChannel(c.channel, 200)
			if c.refusal == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if err == nil || err.Error() != c.refusal || !errors.Is(err, ErrChannelName) {
				t.Fatalf("got %v, want %q", err, c.refusal)
			}
		})
	}
}

func TestServerToUserID(t *testing.T) {
	for _, c := range []struct {
		channel, id string
		ok          bool
	}{
		{"#server-to-user-7", "7", true},
		{"#server-to-user-a b/\u00e9", "a b/\u00e9", true},
		{"#server-to-user-", "", false},
		{"#server-to-user", "", false},
		{"server-to-user-7", "", false},
		{"x#server-to-user-7", "", false},
		{"", "", false},
	} {
		if id, ok := ServerToUserID(c.channel); id != c.id || ok != c.ok {
			t.Errorf("ServerToUserID(%q) = %q, %v, want %q, %v", c.channel, id, ok, c.id, c.ok)
		}
	}
}

func TestValidEventName(t *testing.T) {
	for name, want := range map[string]bool{
		`App\Events\OrderShipped`: true, ".Illuminate.Notification": true, "client-typing": true, "two words": true, "\u00e9v\u00e9nement": true,
		"": false, "a\nb": false, "a\x00": false, "a\x7f": false, "a\xff": false,
	} {
		if got := ValidEventName(name); got != want {
			t.Errorf("ValidEventName(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestValidSocketID(t *testing.T) {
	for id, want := range map[string]bool{
		"1234.1234": true, "0.0": true, "18446744073709551615.18446744073709551615": true,
		"": false, ".": false, "1.": false, ".1": false, "1": false, "1.2.3": false, "-1.2": false, "1.2 ": false, " 1.2": false,
		"1.2\n": false, "a.b": false, "1,2": false, "1.2a": false, "\u0661.\u0662": false,
	} {
		if got := ValidSocketID(id); got != want {
			t.Errorf("ValidSocketID(%q) = %v, want %v", id, got, want)
		}
	}
}

// FuzzChannelName compares with the published character set, and with prefixes as
// an independent reading of the kinds.
func FuzzChannelName(f *testing.F) {
	for _, s := range []string{"news", "private-encrypted-cache-x", "presence-cache-", "#server-to-user-7", "caf\u00e9", "a\n", ""} {
		f.Add(s, 200)
	}
	charset := regexp.MustCompile(`\A[-A-Za-z0-9_=@,.;]+\z`)
	kinds := regexp.MustCompile(`\A(?:(private-)(encrypted-)?|(presence-))?(cache-)?`)
	f.Fuzz(func(t *testing.T, name string, limit int) {
		want := len(name) <= limit && charset.MatchString(name)
		if got := ValidChannel(name, limit) == nil; got != want {
			t.Errorf("ValidChannel(%q, %d) = %v, want %v", name, limit, got, want)
		}
		var kind Kind
		m := kinds.FindStringSubmatch(name)
		for i, bit := range []Kind{Private, Encrypted, Presence, Cache} {
			if m[i+1] != "" {
				kind |= bit
			}
		}
		if strings.HasPrefix(name, "#server-to-user-") {
			kind = ServerToUser
		}
		if got := KindOf(name); got != kind {
			t.Errorf("KindOf(%q) = %05b, want %05b", name, got, kind)
		}
		if id, ok := ServerToUserID(name); ok && (id == "" || "#server-to-user-"+id != name) {
			t.Errorf("ServerToUserID(%q) = %q", name, id)
		}
	})
}

func FuzzSocketID(f *testing.F) {
	for _, s := range []string{"1.2", "1234.1234", ".", "1.2\n", "01.1"} {
		f.Add(s)
	}
	form := regexp.MustCompile(`\A[0-9]+\.[0-9]+\z`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := ValidSocketID(s), form.MatchString(s); got != want {
			t.Errorf("ValidSocketID(%q) = %v, want %v", s, got, want)
		}
	})
}

func FuzzEventName(f *testing.F) {
	for _, s := range []string{`App\Events\X`, "", "a\x1f", "a\x7f", "\xc3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := s != "" && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) < 0
		if got := ValidEventName(s); got != want {
			t.Errorf("ValidEventName(%q) = %v, want %v", s, got, want)
		}
	})
}

package auth

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// The application of the published examples.
const (
	testKey    = "278d425bdf160c739803"
	testSecret = "7ad3773142a6692b25b8"
)

func testCredentials() *Credentials { return NewCredentials(testKey, testSecret) }

// TestPublishedSubscriptions checks the examples of the protocol's documentation.
func TestPublishedSubscriptions(t *testing.T) {
	c := testCredentials()
	const socket = "1234.1234"
	for _, v := range []struct {
		name, channel, data string
		withData            bool
		hex                 string
	}{
		{name: "private", channel: "private-foobar", hex: "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"},
		{name: "presence", channel: "presence-foobar", data: `{"user_id":10,"user_info":{"name":"Mr. Channels"}}`, withData: true,
			hex: "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"},
		{name: "presence, as first published", channel: "presence-foobar", data: `{"user_id":10,"user_info":{"name":"Mr. Pusher"}}`, withData: true,
			hex: "afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c"},
	} {
		t.Run(v.name, func(t *testing.T) {
			if got := c.SignSubscription(socket, v.channel, v.data, v.withData); got != testKey+":"+v.hex {
				t.Errorf("signed %s, published %s", got, v.hex)
			}
			if err := c.VerifySubscription([]byte(testKey+":"+v.hex), []byte(socket), []byte(v.channel), []byte(v.data), v.withData); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("sign-in", func(t *testing.T) {
		const hex = "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"
		const user = `{"id":"12345"}`
		if got := c.SignSignin(socket, user); got != testKey+":"+hex {
			t.Errorf("signed %s, published %s", got, hex)
		}
		if err := c.VerifySignin([]byte(testKey+":"+hex), []byte(socket), []byte(user)); err != nil {
			t.Error(err)
		}
	})
}

func TestVerifySubscriptionRefuses(t *testing.T) {
	c := testCredentials()
	const socket, channel, data = "1234.1234", "presence-a", `{"user_id":"7"}`
	good := c.SignSubscription(socket, channel, data, true)
	hex := strings.TrimPrefix(good, testKey+":")
	flipped := []byte(good)
	flipped[len(flipped)-1] ^= 1
	type ask struct {
		auth, socket, channel, data string
		withData                    bool
	}
	for _, v := range []struct {
		name string
		ask  ask
		want error
	}{
		{"the good one", ask{good, socket, channel, data, true}, nil},
		{"upper case digits", ask{testKey + ":" + strings.ToUpper(hex), socket, channel, data, true}, nil},
		{"another socket", ask{good, "1234.1235", channel, data, true}, ErrSignature},
		{"another channel", ask{good, socket, "presence-b", data, true}, ErrSignature},
		{"another user", ask{good, socket, channel, `{"user_id":"8"}`, true}, ErrSignature},
		{"without the data", ask{good, socket, channel, data, false}, ErrSignature},
		{"data moved into the channel", ask{good, socket, channel + ":" + data, "", false}, nil}, // the same text: names with a colon are refused before
		{"one bit", ask{string(flipped), socket, channel, data, true}, ErrSignature},
		{"cut short", ask{good[:len(good)-1], socket, channel, data, true}, ErrSignature},
		{"too long", ask{good + "00", socket, channel, data, true}, ErrSignature},
		{"not hexadecimal", ask{testKey + ":" + strings.Repeat("g", 64), socket, channel, data, true}, ErrSignature},
		{"one digit not hexadecimal", ask{good[:len(good)-1] + "g", socket, channel, data, true}, ErrSignature},
		{"blank at the end", ask{good + " ", socket, channel, data, true}, ErrSignature},
		{"zeros", ask{testKey + ":" + strings.Repeat("0", 64), socket, channel, data, true}, ErrSignature},
		{"no digits", ask{testKey + ":", socket, channel, data, true}, ErrSignature},
		{"key alone", ask{testKey, socket, channel, data, true}, ErrSignature},
		{"digits alone", ask{hex, socket, channel, data, true}, ErrSignature},
		{"nothing", ask{"", socket, channel, data, true}, ErrSignature},
		{"another key", ask{"other:" + hex, socket, channel, data, true}, ErrKey},
		{"no key", ask{":" + hex, socket, channel, data, true}, ErrKey},
		{"the sign-in form of old pages", ask{testKey + "::user::" + hex, socket, channel, data, true}, ErrKey},
	} {
		t.Run(v.name, func(t *testing.T) {
			a := v.ask
			err := c.VerifySubscription([]byte(a.auth), []byte(a.socket), []byte(a.channel), []byte(a.data), a.withData)
			if !errors.Is(err, v.want) {
				t.Errorf("got %v, want %v", err, v.want)
			}
		})
	}
}

func TestVerifySigninRefuses(t *testing.T) {
	c := testCredentials()
	good := []byte(c.SignSignin("1.2", `{"id":"u1"}`))
	if err := c.VerifySignin(good, []byte("1.2"), []byte(`{"id":"u1"}`)); err != nil {
		t.Fatal(err)
	}
	if err := c.VerifySignin(good, []byte("1.3"), []byte(`{"id":"u1"}`)); !errors.Is(err, ErrSignature) {
		t.Errorf("another socket: %v", err)
	}
	if err := c.VerifySignin(good, []byte("1.2"), []byte(`{"id":"u2"}`)); !errors.Is(err, ErrSignature) {
		t.Errorf("another user: %v", err)
	}
	if err := NewCredentials("other", testSecret).VerifySignin(good, []byte("1.2"), []byte(`{"id":"u1"}`)); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	if err := NewCredentials(testKey, "other").VerifySignin(good, []byte("1.2"), []byte(`{"id":"u1"}`)); !errors.Is(err, ErrSignature) {
		t.Errorf("another secret: %v", err)
	}
	subscription := []byte(c.SignSubscription("1.2", "private-a", "", false))
	if err := c.VerifySignin(subscription, []byte("1.2"), []byte("private-a")); !errors.Is(err, ErrSignature) {
		t.Errorf("a subscription's signature: %v", err)
	}
}

// TestKeyWithColon: the digits are behind the last colon.
func TestKeyWithColon(t *testing.T) {
	c := NewCredentials("a:b", "secret")
	auth := c.SignSubscription("1.2", "private-a", "", false)
	if err := c.VerifySubscription([]byte(auth), []byte("1.2"), []byte("private-a"), nil, false); err != nil {
		t.Error(err)
	}
}

// TestScratchHoldsNothingOver: a signature that was received before does not help
// the next that cannot be read.
func TestScratchHoldsNothingOver(t *testing.T) {
	c := testCredentials()
	socket, channel := []byte("1.2"), []byte("private-a")
	good := c.SignSubscription("1.2", "private-a", "", false)
	for range 100 {
		if err := c.VerifySubscription([]byte(good), socket, channel, nil, false); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{testKey + ":", testKey + ":zz", good[:len(good)-1] + "g"} {
			if err := c.VerifySubscription([]byte(bad), socket, channel, nil, false); !errors.Is(err, ErrSignature) {
				t.Fatalf("%q: %v", bad, err)
			}
		}
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	c := testCredentials()
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(format, c); strings.Contains(s, testSecret) {
			t.Errorf("%s prints %s", format, s)
		}
	}
	if c.Key() != testKey {
		t.Errorf("the key is %q", c.Key())
	}
}

// TestCredentialsAreShared: several goroutines verify with one value.
func TestCredentialsAreShared(t *testing.T) {
	c := testCredentials()
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			socket := fmt.Sprintf("%d.1", g)
			auth := []byte(c.SignSubscription(socket, "private-a", "", false))
			for range 500 {
				if err := c.VerifySubscription(auth, []byte(socket), []byte("private-a"), nil, false); err != nil {
					t.Error(err)
					return
				}
				if c.VerifySubscription(auth, []byte("9.9"), []byte("private-a"), nil, false) == nil {
					t.Error("a foreign signature was taken")
					return
				}
			}
		})
	}
	group.Wait()
}

func TestVerifyAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("not counted: the race detector makes pools forget")
		return
	}
	c := testCredentials()
	data := []byte(`{"user_id":"7"}`)
	auth := []byte(c.SignSubscription("1234.1234", "presence-a", string(data), true))
	signin := []byte(c.SignSignin("1234.1234", string(data)))
	channel := []byte("presence-a")
	ids := NewSocketIDs([16]byte{1}, 0)
	if n := testing.AllocsPerRun(1000, func() {
		var id [41]byte // must be able to stay on the stack
		if c.VerifySubscription(auth, append(id[:0], "1234.1234"...), channel, data, true) != nil {
			panic("refused")
		}
		if c.VerifySubscription(auth, ids.Append(id[:0], 1, 2, 3), channel, data, true) == nil {
			panic("taken")
		}
		if c.VerifySignin(signin, append(id[:0], "1234.1234"...), data) != nil {
			panic("refused")
		}
	}); n > 0 {
		t.Errorf("verifying allocates %v times", n)
	}
}

func BenchmarkVerifySubscription(b *testing.B) {
	c := testCredentials()
	socket, channel := []byte("8137455912345678901.4592123456789012345"), []byte("private-App.Models.User.10427")
	auth := []byte(c.SignSubscription(string(socket), string(channel), "", false))
	b.ReportAllocs()
	for b.Loop() {
		if c.VerifySubscription(auth, socket, channel, nil, false) != nil {
			b.Fatal("refused")
		}
	}
}

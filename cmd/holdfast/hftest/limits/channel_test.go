package limits

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// The hundred-and-first subscription is refused, and nothing else happens.
func TestLimitSubscriptions(t *testing.T) {
	const limit, asked = 100, 110
	edge := hftest.Start(t, hftest.Options{Flags: set("limits.subscribes_per_second=100000")})
	crowd := accompany(t, edge)
	reached := metric(edge, `rate_limited_total{scope="subscriptions"}`)
	crowd.beside("subscriptions", func() {
		crowd.storm(4, func(worker int) error {
			s, err := join(edge, how{})
			if err != nil {
				return err
			}
			defer s.close()
			name := func(i int) string { return fmt.Sprintf("room-%d-%d", worker, i) }
			ask := make([]string, asked)
			for i := range ask {
				ask[i] = subscribeText(name(i), "", "")
			}
			// One in a channel already may ask again.
			if err := s.texts(append(ask, subscribeText(name(0), "", ""))...); err != nil {
				return err
			}
			// A refusal is written at once, a success when its turn comes: each kind is in
			// order, and the two are counted.
			joined, refusals := 0, 0
			for joined+refusals < asked+1 {
				m, err := s.next()
				if err != nil {
					return err
				}
				ev, err := m.event()
				switch {
				case err != nil:
					return err
				case ev.Event == "pusher_internal:subscription_succeeded" && ev.Channel == name(joined%limit):
					joined++
				case ev.Event == "pusher:subscription_error" && ev.Channel == name(limit+refusals) &&
					ev.Text() == `{"type":"LimitReached","error":"subscriptions: 101, limit 100 (limits.subscriptions)","status":403}`:
					refusals++
				default:
					return fmt.Errorf("got %s after %d successes and %d refusals", ev.Raw, joined, refusals)
				}
			}
			if joined != limit+1 {
				return fmt.Errorf("%d successes, wanted %d", joined, limit+1)
			}
			// One who leaves makes room.
			leave := `{"event":"pusher:unsubscribe","data":{"channel":"` + name(0) + `"}}`
			return errors.Join(s.texts(leave, subscribeText("another", "", "")), s.subscribed("another"), s.alive())
		})
	})
	grew(t, edge, `rate_limited_total{scope="subscriptions"}`, reached, asked-limit)
}

// Too many subscribes at once are all carried out, later: the socket is not read
// until tokens return.
func TestLimitSubscribesPerSecond(t *testing.T) {
	const rate, burst, channels = 100, 200, 50
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	reached := metric(edge, `rate_limited_total{scope="subscribes"}`)
	before := resident(t, edge)
	var ask []string
	for i := range burst + rate {
		ask = append(ask, subscribeText(fmt.Sprintf("room-%d", i%channels), "", ""))
	}
	crowd.beside("subscribes_per_second", func() {
		crowd.storm(8, func(worker int) error {
			if worker%2 == 1 {
				return pushUntilBlocked(edge, ask)
			}
			s, err := join(edge, how{})
			if err != nil {
				return err
			}
			defer s.close()
			begun := time.Now()
			if err := s.texts(ask...); err != nil {
				return err
			}
			for i := range ask {
				if err := s.subscribed(fmt.Sprintf("room-%d", i%channels)); err != nil {
					return fmt.Errorf("subscribe %d: %w", i, err)
				}
			}
			if took := time.Since(begun); took < time.Second*9/10 {
				return fmt.Errorf("%d subscribes took %s, wanted a second for those over %d", len(ask), took, burst)
			}
			return s.alive()
		})
	})
	grew(t, edge, `rate_limited_total{scope="subscribes"}`, reached, 4)
	if grown := resident(t, edge) - before; grown > 8<<20*slowdown {
		t.Errorf("the server has grown by %d KiB: it reads ahead of the tokens", grown>>10)
	}
}

// pushUntilBlocked subscribes without an end and reads the answers, until the
// server takes no more. What the two kernels hold is all it may send ahead.
func pushUntilBlocked(edge *hftest.Edge, ask []string) error {
	s, err := join(edge, how{})
	if err != nil {
		return err
	}
	defer s.close()
	var p []byte
	for _, text := range ask {
		p = appendFrame(p, fin|opText, []byte(text))
	}
	const most = 64 << 20
	for sent := 0; sent < most; sent += len(p) {
		_ = s.nc.SetDeadline(time.Now().Add(window / 2))
		if _, err := s.nc.Write(p); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			return fmt.Errorf("cut off after %d bytes of subscribes: %w", sent, err)
		}
	}
	return fmt.Errorf("the server took %d MiB of subscribes at once", most>>20)
}

// Client events over the rate are answered and not relayed.
func TestLimitClientEvents(t *testing.T) {
	const rate, sent = 10, 25
	quiet := app{id: "quiet", key: "quiet-key", secret: "quiet-secret"}
	edge := hftest.Start(t, hftest.Options{Config: demo.config("") + quiet.config(`client_events = "off"`)})
	crowd := accompany(t, edge)
	reached := metric(edge, `rate_limited_total{scope="client_events"}`)
	say := func(channel string, n int) string {
		return fmt.Sprintf(`{"event":"client-n","channel":%q,"data":"%d"}`, channel, n)
	}
	crowd.beside("client_events_per_second", func() {
		crowd.storm(4, func(worker int) error {
			channel := fmt.Sprintf("private-pair-%d", worker)
			speaker, err := join(edge, how{})
			if err != nil {
				return err
			}
			defer speaker.close()
			listener, err := join(edge, how{})
			if err != nil {
				return err
			}
			defer listener.close()
			for _, s := range []*socket{speaker, listener} {
				if err := errors.Join(s.subscribeSigned(channel, ""), s.subscribed(channel)); err != nil {
					return err
				}
			}
			var flood []string
			for n := range sent {
				flood = append(flood, say(channel, n))
			}
			begun := time.Now()
			if err := speaker.texts(append(flood, `{"event":"pusher:ping"}`)...); err != nil {
				return err
			}
			refusals := 0
			for {
				m, err := speaker.next()
				if err != nil {
					return err
				}
				ev, err := m.event()
				if err == nil && ev.Event == "pusher:pong" {
					break
				}
				if err == nil {
					err = errorIs(ev, 4301, "client events: 11 in 1 s, limit 10 (limits.client_events_per_second)")
				}
				if err != nil {
					return err
				}
				refusals++
			}
			if most := rate + int(time.Since(begun).Seconds()*rate) + 1; sent-refusals < rate || sent-refusals > most {
				return fmt.Errorf("%d of %d client events were taken, wanted %d to %d", sent-refusals, sent, rate, most)
			}
			last := -1
			for range sent - refusals {
				ev, err := listener.want("client-n")
				if err != nil {
					return err
				}
				var n int
				if _, err := fmt.Sscan(ev.Text(), &n); err != nil || n <= last {
					return fmt.Errorf("%s after %d", ev.Raw, last)
				}
				last = n
			}
			return listener.alive() // its pong is the next frame: nothing else was relayed
		})
		notRelayed(t, edge, how{}, "room", "neither private nor presence", say)
		notRelayed(t, edge, how{}, "private-not-mine", "not subscribed", say)
		notRelayed(t, edge, how{target: "/app/" + quiet.key}, "private-a", "apps.client_events", say)
	})
	grew(t, edge, `rate_limited_total{scope="client_events"}`, reached, 4)
}

func notRelayed(t *testing.T, edge *hftest.Edge, h how, channel, why string, say func(string, int) string) {
	t.Helper()
	s, err := join(edge, h, "room")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := errors.Join(s.text(say(channel, 1)), s.wantError(4301, why), s.alive()); err != nil {
		t.Errorf("%s: %v", channel, err)
	}
}

// Names of channels: length, characters, and users' own channels.
func TestLimitChannelName(t *testing.T) {
	const limit = 200
	edge := hftest.Start(t, hftest.Options{Flags: set("limits.subscribes_per_second=100000")})
	crowd := accompany(t, edge)
	long := strings.Repeat("a", limit)
	const own, foreign = "#server-to-user-me", "#server-to-user-you"
	bad := []string{long + "a", strings.Repeat("a", 16000), "", "a b", "a/b", "ä", "a\u0000", "private-a b", "presence-" + long, "#a", "a#server-to-user-b"}
	crowd.beside("channel_name_bytes", func() {
		crowd.storm(4, func(int) error {
			s, err := join(edge, how{}, long, "-A_z0=@,.;")
			if err != nil {
				return err
			}
			defer s.close()
			for _, name := range bad {
				text := ""
				if len(name) > limit {
					text = "limits.channel_name_bytes"
				}
				if err := errors.Join(s.subscribe(name, "", ""), s.wantRefusal(name, "BadRequest", 400, text)); err != nil {
					return fmt.Errorf("%.40q: %w", name, err)
				}
			}
			if err := errors.Join(s.subscribe(own, "", ""), s.wantRefusal(own, "AuthError", 401, "")); err != nil {
				return fmt.Errorf("before the sign-in: %w", err)
			}
			if err := s.signIn(`{"id":"me"}`); err != nil {
				return err
			}
			if err := errors.Join(s.subscribe(own, "", ""), s.subscribed(own)); err != nil {
				return err
			}
			if err := errors.Join(s.subscribe(foreign, "", ""), s.wantRefusal(foreign, "AuthError", 401, "")); err != nil {
				return err
			}
			return s.alive()
		})
		for _, name := range bad {
			if name == "" {
				continue // is a missing channel to the API
			}
			want := refusal{Code: "bad_channel", Status: 400}
			if len(name) > limit {
				want.Limit, want.Actual, want.Knob = limit, int64(len(name)), "limits.channel_name_bytes"
			}
			r, err := demo.post(edge, "/events", event("x", "{}", name))
			if err := refused(r, err, want); err != nil {
				t.Errorf("%.40q: %v", name, err)
			}
		}
		for _, name := range []string{long, own, foreign} {
			if err := taken(demo.post(edge, "/events", event("x", "{}", name))); err != nil {
				t.Errorf("%.40q: %v", name, err)
			}
		}
	})
}

// signIn signs in and waits for success.
func (s *socket) signIn(userData string) error {
	data := map[string]string{"auth": demo.sign(s.id + "::user::" + userData), "user_data": userData}
	if err := s.text(toJSON(map[string]any{"event": "pusher:signin", "data": data})); err != nil {
		return err
	}
	_, err := s.want("pusher:signin_success")
	return err
}

// Ids and descriptions of users, on presence channels.
func TestLimitUser(t *testing.T) {
	const idLimit, infoLimit = 128, 2 << 10
	edge := hftest.Start(t, hftest.Options{Flags: set("limits.subscribes_per_second=100000")})
	crowd := accompany(t, edge)
	member := func(id, info int) string { // channel_data with an id and a whole of so many bytes
		data := `{"user_id":"` + strings.Repeat("u", id) + `","user_info":"`
		return data + strings.Repeat("i", max(0, info-len(data)-2)) + `"}`
	}
	crowd.beside("user_id_bytes, user_info_bytes", func() {
		crowd.storm(4, func(worker int) error {
			s, err := join(edge, how{})
			if err != nil {
				return err
			}
			defer s.close()
			channel := fmt.Sprintf("presence-%d", worker)
			for _, c := range []struct {
				data, text string
			}{
				{member(idLimit+1, 0), "user_id is 129 bytes, limit 128 (limits.user_id_bytes)"},
				{member(idLimit, infoLimit+1), "2049 bytes, limit 2048 (limits.user_info_bytes)"},
				{member(1, 15<<10), "limits.user_info_bytes"},
				{`{"user_id":` + strings.Repeat("1", idLimit+1) + `}`, "limits.user_id_bytes"},
				{`{"user_id":""}`, ""},
				{`{}`, ""},
				{`7`, ""},
			} {
				if err := errors.Join(s.subscribeSigned(channel, c.data), s.wantRefusal(channel, "BadRequest", 400, c.text)); err != nil {
					return err
				}
			}
			if err := errors.Join(s.subscribeSigned(channel, member(idLimit, infoLimit)), s.subscribed(channel)); err != nil {
				return err
			}
			return s.alive()
		})
	})
}

// The member beyond the last is refused; a further connection of one who is there
// is none.
func TestLimitPresenceMembers(t *testing.T) {
	const limit, channel = 10, "presence-full"
	edge := hftest.Start(t, hftest.Options{Flags: set(fmt.Sprintf("limits.presence_members=%d", limit), "limits.subscribes_per_second=100000")})
	crowd := accompany(t, edge)
	reached := metric(edge, `rate_limited_total{scope="presence_members"}`)
	enter := func(user string) (*socket, error) {
		s, err := join(edge, how{})
		if err == nil {
			err = s.subscribeSigned(channel, `{"user_id":"`+user+`"}`)
		}
		return s, err
	}
	crowd.beside("presence_members", func() {
		for i := range limit {
			s, err := enter(fmt.Sprint("member-", i))
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if err := s.subscribed(channel); err != nil {
				t.Fatal(err)
			}
		}
		crowd.storm(4, func(worker int) error {
			s, err := enter(fmt.Sprint("stranger-", worker))
			if err != nil {
				return err
			}
			defer s.close()
			for range 100 {
				if err := s.wantRefusal(channel, "LimitReached", 403, "presence members: 11, limit 10 (limits.presence_members)"); err != nil {
					return err
				}
				if err := s.subscribeSigned(channel, fmt.Sprintf(`{"user_id":%d}`, worker)); err != nil {
					return err
				}
			}
			if err := s.wantRefusal(channel, "LimitReached", 403, "limits.presence_members"); err != nil {
				return err
			}
			again, err := enter("member-0")
			if err != nil {
				return err
			}
			defer again.close()
			return errors.Join(again.subscribed(channel), s.alive())
		})
	})
	grew(t, edge, `rate_limited_total{scope="presence_members"}`, reached, 400)
}

// Of a watchlist that is too long the beginning is kept, and the client is told.
func TestLimitWatchlist(t *testing.T) {
	const limit, length = 100, 150
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	user := func(i int) string { return fmt.Sprint("u", i) }
	var list []string
	for i := range length {
		list = append(list, user(i))
	}
	crowd.beside("watchlist", func() {
		crowd.storm(4, func(worker int) error {
			s, err := join(edge, how{})
			if err != nil {
				return err
			}
			defer s.close()
			if err := s.signIn(toJSON(map[string]any{"id": fmt.Sprint("watcher-", worker), "watchlist": list})); err != nil {
				return err
			}
			if err := s.wantError(4302, "cut to its first 100 users (limits.watchlist)"); err != nil {
				return err
			}
			ev, err := s.want("pusher_internal:watchlist_events")
			if err != nil {
				return err
			}
			if watched := strings.Count(ev.Text(), `"u`); watched < limit || watched > limit+1 {
				return fmt.Errorf("%d users are watched, wanted %d: %s", watched, limit, ev.Raw)
			}
			if strings.Contains(ev.Text(), fmt.Sprintf("%q", user(limit))) {
				return fmt.Errorf("user %d is watched: %s", limit, ev.Raw)
			}
			return s.alive()
		})
	})
}

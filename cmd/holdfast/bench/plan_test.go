package bench

import "testing"

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		plan                 plan
		slots, subscriptions int
		events, idle, churn  int
	}{
		"one channel":               {plan{connections: 7, channels: 1}, 1, 7, 7, 0, 0},
		"fewer channels":            {plan{connections: 10, channels: 3}, 1, 10, 10, 0, 0},
		"as many":                   {plan{connections: 5, channels: 5}, 1, 5, 5, 0, 0},
		"more channels":             {plan{connections: 3, channels: 8}, 3, 8, 3, 0, 0},
		"none":                      {plan{connections: 3, channels: 0}, 0, 0, 3, 0, 0},
		"mixed":                     {plan{connections: 1000, channels: 50, mixed: true, idle: 70, churn: 10}, 1, 1000, 200, 700, 100},
		"mixed, more channels":      {plan{connections: 200, channels: 1000, mixed: true, idle: 70, churn: 10}, 1, 200, 40, 140, 20},
		"mixed without idle ones":   {plan{connections: 100, channels: 10, mixed: true, idle: 0, churn: 100}, 1, 100, 0, 0, 100},
		"mixed with idle ones only": {plan{connections: 150, channels: 10, mixed: true, idle: 100, churn: 0}, 1, 150, 0, 150, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.plan
			p.prefix = []byte("bench-")
			if p.slots() != c.slots {
				t.Errorf("%d slots, want %d", p.slots(), c.slots)
			}
			total, roles := 0, map[role]int{}
			members := map[int]int{}
			for i := range p.connections {
				roles[p.role(i)]++
				for slot := 0; ; slot++ {
					channel, ok := p.channel(i, slot)
					if !ok {
						break
					}
					total++
					members[channel]++
					name := p.appendName(nil, channel)
					number, known := p.number(name)
					if at, on := p.slot(i, number); !known || !on || at != slot {
						t.Fatalf("connection %d slot %d, channel %s: read back as %d, slot %d, %v", i, slot, name, number, at, on)
					}
					if _, on := p.slot(i, channel+1); on && c.plan.channels > 1 && c.plan.channels <= c.plan.connections {
						t.Fatalf("connection %d is on two channels", i)
					}
					if idle := p.role(i) == roleIdle; idle != (channel >= p.channels) {
						t.Fatalf("connection %d with role %d is on channel %d of %d", i, p.role(i), channel, p.channels)
					}
				}
			}
			if total != c.subscriptions || roles[roleEvents] != c.events || roles[roleIdle] != c.idle || roles[roleChurn] != c.churn {
				t.Errorf("%d subscriptions, roles %v", total, roles)
			}
			low, high := p.connections, 0
			for channel := range p.channels {
				low, high = min(low, members[channel]), max(high, members[channel])
			}
			if p.channels <= p.connections/5 && c.events > 0 && high-low > 1 {
				t.Errorf("channels have %d to %d members", low, high)
			}
		})
	}
}

func TestChannelNumbers(t *testing.T) {
	p := plan{prefix: []byte("b-")}
	for _, name := range []string{"", "b-", "c-1", "b-x", "b-1x", "b--1", "b-1234567890", "1"} {
		if n, ok := p.number([]byte(name)); ok {
			t.Errorf("%q is channel %d", name, n)
		}
	}
}

func TestShares(t *testing.T) {
	for _, n := range []int{1, 7, 64, 1000} {
		at := 0
		for k := range 7 {
			s := share{0, n}.part(k, 7)
			if s.from != at || s.len() > n/7+1 {
				t.Fatalf("part %d of %d: %+v", k, n, s)
			}
			at = s.to
		}
		if at != n {
			t.Fatalf("parts of %d end at %d", n, at)
		}
	}
}

func TestPayload(t *testing.T) {
	run := newRunID(0xBEEF)
	m := payload{number: 4_000_000_000, after: 3_999_999_999, due: 123_456_789_012_000}
	data := appendPayload(nil, run, m, 200)
	if got, ok := parsePayload(data, &run); len(data) != 200 || !ok || got != m {
		t.Errorf("%s: %+v, %v", data, got, ok)
	}
	if data = appendPayload(nil, run, m, payloadBytes); len(data) != payloadBytes {
		t.Errorf("%d bytes of %d", len(data), payloadBytes)
	}
	other := newRunID(1)
	if _, ok := parsePayload(data, &other); ok {
		t.Error("another run's message was taken for ours")
	}
	for _, bad := range []string{"", string(data[:payloadBytes-1]), string(run[:]) + "x000000001" + string(data[18:]), string(run[:]) + "0000000000" + string(data[18:])} {
		if _, ok := parsePayload([]byte(bad), &run); ok {
			t.Errorf("%q was accepted", bad)
		}
	}
}

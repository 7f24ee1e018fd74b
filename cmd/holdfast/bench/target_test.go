package bench

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParseTarget(t *testing.T) {
	for _, c := range []struct {
		url          string
		destinations int
		host, prefix string
		port         uint16
		last, says   string
	}{
		{"ws://127.0.0.1:8080", 1, "127.0.0.1:8080", "", 8080, "127.0.0.1", ""},
		{"ws://127.0.0.1:8080/ws/", 40, "127.0.0.1:8080", "/ws", 8080, "127.0.0.40", ""},
		{"http://10.0.0.254", 4, "10.0.0.254", "", 80, "10.0.1.1", ""},
		{"ws://[::1]:81", 1, "[::1]:81", "", 81, "::1", ""},
		{"wss://example.org", 1, "", "", 0, "", "TLS is not offered"},
		{"tcp://127.0.0.1:1", 1, "", "", 0, "", "the scheme is ws"},
		{"127.0.0.1:8080", 1, "", "", 0, "", "is not a URL"},
		{"ws://u:p@127.0.0.1", 1, "", "", 0, "", "a host, a port and a path only"},
		{"ws://127.0.0.1:0", 1, "", "", 0, "", "port 0"},
		{"ws://127.255.255.254:1", 3, "", "", 0, "", "there are only 2 addresses"},
	} {
		got, err := parseTarget(t.Context(), c.url, c.destinations)
		if c.says != "" {
			if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", c.url, err, c.says)
			}
			continue
		}
		if err != nil || got.host != c.host || got.prefix != c.prefix || got.port != c.port ||
			len(got.destinations) != c.destinations || got.destinations[c.destinations-1].String() != c.last {
			t.Errorf("%s: %+v, %v", c.url, got, err)
		}
	}
}

func TestSources(t *testing.T) {
	const ports = 28232 // of the kernel's default range
	loopback := &target{destinations: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	forty, err := parseTarget(t.Context(), "ws://127.0.0.1:1", 40)
	if err != nil {
		t.Fatal(err)
	}
	remote := &target{destinations: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	for name, c := range map[string]struct {
		spec         string
		target       *target
		n, processes int
		ports        int
		count        int
		first, last  string
		says         string
	}{
		"few need none":              {"auto", loopback, 14116, 1, ports, 0, "", "", ""},
		"one more needs two":         {"auto", loopback, 14117, 1, ports, 2, "127.0.1.1", "127.0.1.2", ""},
		"a million":                  {"auto", loopback, 1_000_000, 1, ports, 71, "127.0.1.1", "127.0.1.71", ""},
		"a million, a wide range":    {"auto", loopback, 1_000_000, 1, 64000, 50, "127.0.1.1", "127.0.1.50", ""},
		"a million, eight processes": {"auto", loopback, 1_000_000, 8, ports, 72, "127.0.1.1", "127.0.1.72", ""},
		"forty destinations":         {"auto", forty, 500_000, 1, ports, 0, "", "", ""},
		"a million to forty":         {"auto", forty, 1_000_000, 1, ports, 2, "127.0.1.1", "127.0.1.2", ""},
		"a small range":              {"auto", loopback, 8001, 1, 5000, 3, "127.0.1.1", "127.0.1.3", ""},
		"another host":               {"auto", remote, 1_000_000, 1, ports, 0, "", "", ""},
		"none":                       {"none", loopback, 1_000_000, 1, ports, 0, "", "", ""},
		"a count skips .0 and .255":  {"300", loopback, 10, 1, ports, 300, "127.0.1.1", "127.0.2.46", ""},
		"a list with a range":        {"10.0.0.5, 10.0.0.8-10.0.0.10", remote, 10, 1, ports, 4, "10.0.0.5", "10.0.0.10", ""},
		"a count for another host":   {"3", remote, 10, 1, ports, 0, "", "", "a count is for targets on 127.0.0.0/8"},
		"a count of none":            {"0", loopback, 10, 1, ports, 0, "", "", "0 of 1 to 50800"},
		"another family":             {"::1", remote, 10, 1, ports, 0, "", "", `"::1" is not an address`},
		"a range backwards":          {"10.0.0.8-10.0.0.5", remote, 10, 1, ports, 0, "", "", "is not an address"},
		"a range without end":        {"10.0.0.0-10.255.0.0", remote, 10, 1, ports, 0, "", "", "more than 50800"},
	} {
		t.Run(name, func(t *testing.T) {
			p := Params{Connections: c.n, Processes: c.processes}
			got, err := pickSources(c.spec, c.target, &p, c.ports)
			if c.says != "" {
				if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("%v, want %q", err, c.says)
				}
				return
			}
			if err != nil || len(got) != c.count || c.count > 0 && (got[0].String() != c.first || got[c.count-1].String() != c.last) {
				t.Fatalf("%d: %v, %v", len(got), got, err)
			}
			seen := map[netip.Addr]bool{}
			for k := range c.processes {
				for _, at := range sourcesOf(got, k, c.processes) {
					if seen[at] {
						t.Errorf("two processes use %v", at)
					}
					seen[at] = true
				}
			}
			if faults := judgeRoom(room{1 << 30, c.ports, "x"}, &p, c.target, got); c.spec == "auto" && c.target.loopback() && faults != nil {
				t.Errorf("what auto picks does not suffice: %v", faults)
			}
		})
	}
}

func TestRoom(t *testing.T) {
	to := func(n int) *target {
		got, err := parseTarget(t.Context(), "ws://127.0.0.1:1", n)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	sources, err := loopbackSources(4)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r       room
		p       Params
		to      *target
		sources []netip.Addr
		says    []string // one each fault
	}{
		"room":            {room{20_000, 28232, "x"}, Params{Connections: 19_872, Processes: 1, Publishers: 64}, to(1), nil, nil},
		"descriptors":     {room{20_000, 28232, "x"}, Params{Connections: 19_873, Processes: 1, Publishers: 64}, to(1), nil, []string{"a process may have 20000 descriptors and needs 20001 for its connections: raise the limit (ulimit -n, LimitNOFILE=), or use --processes 2"}},
		"two processes":   {room{20_000, 28232, "x"}, Params{Connections: 19_873, Processes: 2, Publishers: 64}, to(1), nil, nil},
		"ports":           {room{1 << 20, 28232, "32768–60999"}, Params{Connections: 30_000, Processes: 1}, to(1), nil, []string{"32768–60999 has 28232: widen it (sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"), give 2 addresses with --source-addresses, or let the server listen on all addresses and use --destinations 2"}},
		"more sources":    {room{1 << 20, 28232, "x"}, Params{Connections: 100_000, Processes: 1}, to(1), sources, nil},
		"more targets":    {room{1 << 20, 28232, "x"}, Params{Connections: 100_000, Processes: 1}, to(4), nil, nil},
		"both":            {room{100, 1000, "x"}, Params{Connections: 2000, Processes: 1}, to(1), nil, []string{"100 descriptors", "2000 connections between each pair"}},
		"hardly anything": {room{64, 28232, "x"}, Params{Connections: 10, Processes: 1}, to(1), nil, []string{"LimitNOFILE=)"}},
	} {
		t.Run(name, func(t *testing.T) {
			faults := judgeRoom(c.r, &c.p, c.to, c.sources)
			if len(faults) != len(c.says) {
				t.Fatalf("%q", faults)
			}
			for i, text := range c.says {
				if !strings.Contains(faults[i], text) {
					t.Errorf("%q, want %q", faults[i], text)
				}
			}
			if err := heed(faults, false, nil); (err == nil) != (len(faults) == 0) || err != nil && !errors.Is(err, ErrRefused) {
				t.Errorf("not forced: %v", err)
			}
			var warned strings.Builder
			if err := heed(faults, true, &warned); err != nil || strings.Count(warned.String(), "warning: ") != len(faults) {
				t.Errorf("forced: %v, %q", err, warned.String())
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for _, kind := range []string{Connect, Fanout, Storm, Mixed} {
		if p := Default(kind); p.Validate() != nil {
			t.Errorf("the defaults of %s: %v", kind, p.Validate())
		}
	}
	for says, spoil := range map[string]func(*Params){
		"--connections 0: use 1 to":                   func(p *Params) { p.Connections = 0 },
		"--processes 65: use 1 to 64":                 func(p *Params) { p.Processes = 65 },
		"--channels 0: use 1 to":                      func(p *Params) { p.Channels = 0 },
		"--size 43: use 44 to":                        func(p *Params) { p.PublishSize = 43 },
		"--publishers 65":                             func(p *Params) { p.Publishers = 65 },
		"--rate 0: use above 0":                       func(p *Params) { p.PublishRate = 0 },
		"--connect-timeout 1ms: use 1s to":            func(p *Params) { p.ConnectTimeout = time.Millisecond },
		"connects per second -1":                      func(p *Params) { p.ConnectRate = -1 },
		`--channel-prefix "a b"`:                      func(p *Params) { p.ChannelPrefix = "a b" },
		"presence channels are not offered":           func(p *Params) { p.ChannelPrefix = "presence-a" },
		"private channels need --app-secret":          func(p *Params) { p.ChannelPrefix, p.AppSecret = "private-", "" },
		"publishing needs --app-secret":               func(p *Params) { p.AppSecret = "" },
		"--app-id and --app-key must not be empty":    func(p *Params) { p.AppKey = "" },
		"--idle-share 101":                            func(p *Params) { p.IdleShare = 101 },
		"--churn-share 40: use 0 to 30":               func(p *Params) { p.ChurnShare = 40 },
		"--stay 1ms":                                  func(p *Params) { p.Stay = time.Millisecond },
		"less than 2^32 events":                       func(p *Params) { p.PublishRate, p.Duration = 1e6, 2*time.Hour },
		`no scenario "x"`:                             func(p *Params) { p.Kind = "x" },
		"--threads 0: use 1 to 256\n--destinations 0": func(p *Params) { p.Threads, p.Destinations = 0, 0 },
	} {
		p := Default(Mixed)
		spoil(&p)
		if err := p.Validate(); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

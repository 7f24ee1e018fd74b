package tuning

import "fmt"

// verdict orders the outcomes of a check from best to worst.
type verdict uint8

const (
	// verdictOK: the host carries the planned connections in this respect.
	verdictOK verdict = iota
	// verdictUnknown: the value cannot be read from here.
	verdictUnknown
	// verdictWarn: they are carried, with a named loss in a named situation.
	verdictWarn
	// verdictFail: they are not carried.
	verdictFail
)

func (v verdict) String() string {
	return [...]string{"ok", "unknown", "warn", "fail"}[v]
}

// MarshalText writes the verdict into JSON as its name.
func (v verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// finding is the outcome of one check. Consequence and Command are empty when
// the verdict is ok.
type finding struct {
	Name        string  `json:"name"`
	Verdict     verdict `json:"verdict"`
	Found       string  `json:"found"`
	Consequence string  `json:"consequence,omitempty"`
	Command     string  `json:"command,omitempty"`
}

func (f finding) String() string {
	s := f.Verdict.String() + ": " + f.Found
	if f.Consequence != "" {
		s += "; " + f.Consequence
	}
	if f.Command != "" {
		s += ". Run: " + f.Command
	}
	return s
}

// checks run in this order: each limit is of use only below the one before it.
var checks = [...]struct {
	name string
	run  func(h host, n need) finding
}{
	{"nofile", checkNofile},
	{"nr_open", checkNrOpen},
	{"epoll_watches", checkEpollWatches},
	{"somaxconn", checkSomaxconn},
	{"tcp_mem", checkTCPMem},
	{"memory", checkMemory},
}

func runChecks(h host, n need) []finding {
	findings := make([]finding, 0, len(checks))
	for _, c := range checks {
		f := c.run(h, n)
		f.Name = c.name
		findings = append(findings, f)
	}
	return findings
}

// checkNofile judges the hard limit: the server raises the soft one to it by
// itself.
func checkNofile(h host, n need) finding {
	soft, hard, err := h.nofile()
	if err != nil {
		return finding{
			Verdict: verdictUnknown, Found: err.Error(),
			Consequence: "the number of sockets this process may hold is not known",
			Command:     "ulimit -Sn; ulimit -Hn",
		}
	}
	want := n.descriptors()
	if hard >= want {
		return finding{Found: fmt.Sprintf("nofile soft=%d hard=%d, needs %d (serve raises soft to hard)", soft, hard, want)}
	}
	holds := uint64(0)
	if hard > descriptorReserve {
		holds = hard - descriptorReserve
	}
	return finding{
		Verdict:     verdictFail,
		Found:       fmt.Sprintf("nofile soft=%d hard=%d < %d = %d connections + %d", soft, hard, want, n.connections, descriptorReserve),
		Consequence: fmt.Sprintf("connection %d and later ones wait in the kernel's queue until their clients give up", holds+1),
		Command: fmt.Sprintf("mkdir -p /etc/systemd/system/holdfast.service.d && "+
			`printf '[Service]\nLimitNOFILE=%d\n' > /etc/systemd/system/holdfast.service.d/nofile.conf && `+
			"systemctl daemon-reload && systemctl restart holdfast   # in a shell, as root: ulimit -n %d", want, want),
	}
}

func checkNrOpen(h host, n need) finding {
	const key = "fs.nr_open"
	live, ok := h.sysctlOne(key)
	if !ok {
		return unreadable(key, "the ceiling of LimitNOFILE is not known")
	}
	want := n.nrOpen()
	switch enough := n.connections + 65536; {
	case live >= enough:
		return finding{Found: fmt.Sprintf("%s=%d, needs %d", key, live, enough)}
	case live >= n.descriptors():
		return finding{
			Verdict: verdictWarn,
			Found:   fmt.Sprintf("%s=%d < %d = %d connections + 65536", key, live, enough, n.connections),
			Consequence: fmt.Sprintf("only %d descriptors stay for HTTP conversations and files, and a higher LimitNOFILE is refused",
				live-n.connections),
			Command: fmt.Sprintf("sysctl -w %s=%d", key, want),
		}
	default:
		return finding{
			Verdict:     verdictFail,
			Found:       fmt.Sprintf("%s=%d < %d = %d connections + %d", key, live, n.descriptors(), n.connections, descriptorReserve),
			Consequence: "no process may have that many descriptors, whatever LimitNOFILE says",
			Command:     fmt.Sprintf("sysctl -w %s=%d", key, want),
		}
	}
}

func checkEpollWatches(h host, n need) finding {
	const key = "fs.epoll.max_user_watches"
	live, ok := h.sysctlOne(key)
	if !ok {
		return unreadable(key, "sockets beyond the user's epoll watches would be closed at accept")
	}
	want := n.epollWatches()
	f := finding{Command: fmt.Sprintf("sysctl -w %s=%d", key, want)}
	switch {
	case live >= want:
		return finding{Found: fmt.Sprintf("%s=%d, needs %d", key, live, want)}
	case live >= n.connections:
		f.Verdict = verdictWarn
		f.Found = fmt.Sprintf("%s=%d < %d = 1.1 × %d connections", key, live, want, n.connections)
		f.Consequence = "another program of the same user can take the watches that the last connections need"
	default:
		f.Verdict = verdictFail
		f.Found = fmt.Sprintf("%s=%d < %d connections", key, live, n.connections)
		f.Consequence = fmt.Sprintf("socket %d and later ones cannot be watched and are closed at accept", live+1)
	}
	return f
}

// checkSomaxconn compares the kernel's cap on a listen queue with the burst
// that the accept rate lets wait. Below a quarter of a second's worth an
// ordinary reconnect wave overflows it: that fails.
func checkSomaxconn(h host, n need) finding {
	const key = "net.core.somaxconn"
	live, ok := h.sysctlOne(key)
	if !ok {
		return unreadable(key, "the length of the accept queue is not known")
	}
	want := n.backlog()
	if live >= want {
		return finding{Found: fmt.Sprintf("%s=%d, needs %d", key, live, want)}
	}
	f := finding{
		Verdict:     verdictWarn,
		Found:       fmt.Sprintf("%s=%d < %d = accept_rate %d/s × %d s", key, live, want, n.acceptRate, backlogSeconds),
		Consequence: fmt.Sprintf("a burst of more than %d connects per listener loses SYNs, which clients send again after 1, 2 and 4 s", live),
		Command:     fmt.Sprintf("sysctl -w %s=%d", key, want),
	}
	if live < n.acceptRate/4 {
		f.Verdict = verdictFail
	}
	return f
}

func checkTCPMem(h host, n need) finding {
	const key = "net.ipv4.tcp_mem"
	live := h.sysctl(key)
	if len(live) != 3 {
		return unreadable(key, "it is shown outside network namespaces only; the host's value decides")
	}
	pressure, high := live[1], live[2]
	found := fmt.Sprintf("%s=%d %d %d pages", key, live[0], pressure, high)
	if pressure >= n.connections {
		return finding{Found: fmt.Sprintf("%s, needs pressure ≥ %d", found, n.connections)}
	}
	want := n.tcpMem()
	f := finding{
		Verdict:     verdictWarn,
		Found:       fmt.Sprintf("%s: pressure < %d, a page a connection", found, n.connections),
		Consequence: "one message to all of them puts TCP under memory pressure: windows shrink and delivery slows for every socket of the host",
		Command:     fmt.Sprintf(`sysctl -w %s="%d %d %d"`, key, max(want[0], live[0]), max(want[1], pressure), max(want[2], high)),
	}
	if high < n.connections {
		f.Verdict = verdictFail
		f.Found = fmt.Sprintf("%s: high < %d, a page a connection", found, n.connections)
		f.Consequence = "one message to all of them passes the kernel's limit: sends fail and sockets are aborted (TCPAbortOnMemory)"
	}
	if want[1] < n.connections {
		f.Consequence += fmt.Sprintf("; within a quarter of RAM pressure is at most %d, so %d connections need more RAM", want[1], n.connections)
	}
	if want[1] <= pressure && want[2] <= high {
		f.Command = fmt.Sprintf("holdfast doctor --connections %d   # or give the host more memory", pressure)
	}
	return f
}

func checkMemory(h host, n need) finding {
	b := n.bill(h)
	if b.Ceiling == 0 {
		return finding{
			Verdict: verdictUnknown, Found: "neither a cgroup limit nor the size of RAM can be read",
			Consequence: fmt.Sprintf("whether %s are there is not known", showBytes(b.Total)),
			Command:     "free -b",
		}
	}
	usable := b.Ceiling / 100 * memoryShare
	if b.Total <= usable {
		return finding{Found: fmt.Sprintf("memory %s (%s), needs %s", showBytes(b.Ceiling), b.Source, showBytes(b.Total))}
	}
	f := finding{
		Verdict:     verdictWarn,
		Found:       fmt.Sprintf("memory %s (%s): %d %% of it < %s", showBytes(b.Ceiling), b.Source, memoryShare, showBytes(b.Total)),
		Consequence: fmt.Sprintf("about %d connections fit; beyond them a broadcast to all meets the memory ceiling", b.fits(n.pageSize)),
		Command:     fmt.Sprintf("holdfast doctor --connections %d   # or give the host more memory", b.fits(n.pageSize)),
	}
	if b.Total > b.Ceiling {
		f.Verdict = verdictFail
		f.Consequence = fmt.Sprintf("about %d connections fit; beyond them the kernel kills the process or refuses sockets", b.fits(n.pageSize))
	}
	return f
}

func unreadable(key, consequence string) finding {
	return finding{
		Verdict:     verdictUnknown,
		Found:       key + " cannot be read here",
		Consequence: consequence,
		Command:     "sysctl " + key + "   # on the host itself",
	}
}

// showBytes prints a size in the largest binary unit that leaves it at 1 or more.
func showBytes(b uint64) string {
	v, unit := float64(b), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", b)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

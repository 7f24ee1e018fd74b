package bench

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// room is what this host gives to one process: read once, judged by judgeRoom.
type room struct {
	descriptors uint64 // a process, the hard limit
	ports       int    // ephemeral ports
	portRange   string // as it is in /proc
}

// ownDescriptors is what a process wants beside its connections and publishers.
const ownDescriptors = 64

// readRoom reads the ephemeral port range; descriptors comes from whoever raised
// the limit.
func readRoom(descriptors uint64) (room, error) {
	const file = "/proc/sys/net/ipv4/ip_local_port_range"
	text, err := os.ReadFile(file)
	if err != nil {
		return room{}, fmt.Errorf("bench: %w", err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(text), &low, &high); err != nil || high < low {
		return room{}, fmt.Errorf("bench: %s: %q", file, text)
	}
	return room{descriptors: descriptors, ports: high - low + 1, portRange: strings.Join(strings.Fields(string(text)), "–")}, nil
}

// descriptorsOf is what the largest of the processes needs.
func descriptorsOf(p *Params) int {
	return (p.Connections+p.Processes-1)/p.Processes + p.Publishers + ownDescriptors
}

// judgeRoom says, in sentences with what to do, why the connections will not find
// room; none: they will.
func judgeRoom(r room, p *Params, t *target, sources []netip.Addr) []string {
	var faults []string
	if need := descriptorsOf(p); uint64(need) > r.descriptors {
		enough := -1
		if per := int(r.descriptors) - p.Publishers - ownDescriptors; per > 0 {
			enough = (p.Connections + per - 1) / per
		}
		what := fmt.Sprintf("a process may have %d descriptors and needs %d for its connections: raise the limit (ulimit -n, LimitNOFILE=)", r.descriptors, need)
		if enough > 0 && enough <= maxProcesses {
			what += fmt.Sprintf(", or use --processes %d", enough)
		}
		faults = append(faults, what)
	}
	pairs := len(t.destinations) * max(len(sources), 1)
	// A twentieth stays free for others, and so that the kernel finds what it looks for.
	usable := r.ports - r.ports/20
	if need := (p.Connections + pairs - 1) / pairs; need > usable {
		more := (p.Connections + usable*len(t.destinations) - 1) / (usable * len(t.destinations))
		what := fmt.Sprintf("%d connections between each pair of addresses, and the ephemeral port range %s has %d: "+
			"widen it (sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"), give %d addresses with --source-addresses", need, r.portRange, r.ports, more)
		if t.loopback() {
			what += fmt.Sprintf(", or let the server listen on all addresses and use --destinations %d", (p.Connections+usable-1)/usable)
		}
		faults = append(faults, what)
	}
	return faults
}

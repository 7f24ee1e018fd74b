package tuning

import (
	"bytes"
	"fmt"
	"strconv"
)

// kernelCounts is what the kernel tells about TCP in this network namespace.
// A missing entry of a map was not readable.
type kernelCounts struct {
	listenOverflows uint64 // connects lost to a full accept queue
	hasOverflows    bool
	retransSegs     uint64 // segments sent again
	hasRetrans      bool
	tcpMem          map[string]uint64 // level -> pages
	sockets         map[string]uint64 // kind -> sockets
}

// readKernel reads /proc/self/net and not /proc/net: a unit with
// ProcSubset=pid sees only the former. Files that are not there leave their
// values out.
func readKernel(readFile func(string) ([]byte, error)) kernelCounts {
	k := kernelCounts{tcpMem: make(map[string]uint64, 4), sockets: make(map[string]uint64, 4)}
	if b, err := readFile("/proc/self/net/netstat"); err == nil {
		k.listenOverflows, k.hasOverflows = pairedValue(b, "TcpExt:", "ListenOverflows")
	}
	if b, err := readFile("/proc/self/net/snmp"); err == nil {
		k.retransSegs, k.hasRetrans = pairedValue(b, "Tcp:", "RetransSegs")
	}
	if b, err := readFile("/proc/self/net/sockstat"); err == nil {
		for _, kind := range []string{"inuse", "orphan", "tw", "alloc"} {
			if v, ok := namedValue(b, "TCP:", kind); ok {
				k.sockets[kind] = v
			}
		}
		if v, ok := namedValue(b, "TCP:", "mem"); ok {
			k.tcpMem["used"] = v
		}
	}
	// IPv6 sockets in use stand apart; the other numbers hold them already. Half
	// of a sum is no sum: without the IPv4 part there is none.
	if b, err := readFile("/proc/self/net/sockstat6"); err == nil {
		v4, has4 := k.sockets["inuse"]
		if v6, has6 := namedValue(b, "TCP6:", "inuse"); has4 && has6 {
			k.sockets["inuse"] = v4 + v6
		}
	}
	h := host{readFile: readFile}
	if mem := h.sysctl("net.ipv4.tcp_mem"); len(mem) == 3 {
		k.tcpMem["low"], k.tcpMem["pressure"], k.tcpMem["high"] = mem[0], mem[1], mem[2]
	}
	return k
}

// pairedValue finds a value in the format of netstat and snmp: two lines that
// begin with the same prefix, the first with names, the second with values.
//
//	TcpExt: SyncookiesSent SyncookiesRecv … ListenOverflows ListenDrops …
//	TcpExt: 0 0 … 17 17 …
func pairedValue(b []byte, prefix, name string) (uint64, bool) {
	var names [][]byte
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte(prefix))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		if names == nil {
			names = fields
			continue
		}
		for i, n := range names {
			if string(n) == name && i < len(fields) {
				return parseCount(fields[i])
			}
		}
		return 0, false
	}
	return 0, false
}

// namedValue finds a value in the format of sockstat: one line of a prefix and
// name value pairs.
//
//	TCP: inuse 27 orphan 0 tw 12 alloc 30 mem 3
func namedValue(b []byte, prefix, name string) (uint64, bool) {
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte(prefix))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		for i := 0; i+1 < len(fields); i += 2 {
			if string(fields[i]) == name {
				return parseCount(fields[i+1])
			}
		}
	}
	return 0, false
}

func parseCount(b []byte) (uint64, bool) {
	v, err := strconv.ParseUint(string(b), 10, 64)
	return v, err == nil
}

// descriptorCount counts the open descriptors of this process without walking
// them where it can: since Linux 6.2 the size of /proc/self/fd is their number.
// Walking a million entries would take seconds and fill the dentry cache, so an
// older kernel answers with others (counted once, at start) plus sockets.
type descriptorCount struct {
	// Immutable after newDescriptorCount.
	size    func() (int64, error) // of /proc/self/fd
	sockets func() int            // client sockets open now
	others  int                   // descriptors at start, for old kernels
}

func newDescriptorCount(size func() (int64, error), names func() (int, error), sockets func() int) (descriptorCount, error) {
	d := descriptorCount{size: size, sockets: sockets}
	if n, err := size(); err == nil && n > 0 {
		return d, nil
	}
	n, err := names()
	if err != nil {
		return d, fmt.Errorf("tuning: count descriptors: %w", err)
	}
	d.others = n
	return d, nil
}

func (d descriptorCount) now() int {
	if n, err := d.size(); err == nil && n > 0 {
		return int(n)
	}
	return d.others + d.sockets()
}

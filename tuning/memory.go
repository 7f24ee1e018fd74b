package tuning

import (
	"runtime/debug"
)

const (
	// gcPercent stands for GOGC when the environment does not set it. The live
	// heap is small, since connections are kept outside it, so a collection is
	// cheap and half the slack is worth more than half the collections. Where that
	// slack is below paceLeast, a Pace has more.
	gcPercent = 50

	// memoryShare is the part of the ceiling that memory_bytes = 0 stands for, in
	// percent. The rest is page cache and kernel memory that nobody counts.
	memoryShare = 85

	// goReserve is left out of the Go limit for stacks, binary, page cache and
	// TLS: memory that the collector does not manage. Unit: bytes.
	goReserve = 512 << 20

	// minGoLimitShare keeps the Go limit at this part of the ceiling, in percent,
	// when the sum of the reserves would eat the whole of a small host: a limit
	// close to the live heap would only buy collections without end.
	minGoLimitShare = 25
)

// MemoryOptions says what ApplyMemory has to work with.
type MemoryOptions struct {
	// Bytes is admission.memory_bytes. 0 = 85 % of the cgroup limit, else of RAM.
	Bytes uint64
	// Connections is the admission ceiling; each one reserves kernel memory that
	// the cgroup is charged for and the Go heap must leave alone.
	Connections int
	// LookupEnv answers for GOGC and GOMEMLIMIT. What the user set stays.
	LookupEnv func(string) (string, bool)
	// Pace sets GOGC, unless the environment does. nil: GOGC is the same however small
	// the heap is.
	Pace *Pace
}

// MemoryPlan is what ApplyMemory found and chose, for the start-up log line.
type MemoryPlan struct {
	Ceiling  uint64 // bytes the process may use at most; 0 = unknown
	Source   string // "RAM", or the cgroup file that the ceiling was read from
	Bytes    uint64 // admission.memory_bytes in force; 0 = unknown, do not shed by memory
	GoLimit  int64  // bytes, GOMEMLIMIT set here; 0 = left as the environment or the runtime has it
	GOGC     int    // percent set here, of a large heap; 0 = left to the environment
	Reserved uint64 // bytes of kernel memory kept free of the Go limit
}

// ApplyMemory sets the collector's pace and limit for this host and returns
// what it did. Call it once at start and again when admission.memory_bytes
// changes. GOGC and GOMEMLIMIT from the environment win and are not touched.
func ApplyMemory(o MemoryOptions) MemoryPlan {
	plan := planMemory(liveHost(), o)
	switch {
	case plan.GOGC == 0:
	case o.Pace != nil:
		o.Pace.begin(plan.GOGC)
	default:
		debug.SetGCPercent(plan.GOGC)
	}
	if plan.GoLimit > 0 {
		debug.SetMemoryLimit(plan.GoLimit)
	}
	return plan
}

// MemoryBound is what admission.memory_bytes = 0 stands for on this host: 85 %
// of the cgroup limit, else of RAM. Unit: bytes; 0 = unknown, do not shed by
// memory.
func MemoryBound() uint64 { return liveHost().memoryBound() }

func (h host) memoryBound() uint64 {
	ceiling, _ := h.memoryCeiling()
	return ceiling / 100 * memoryShare
}

// planMemory: GoLimit = 90 % of (memory_bytes − kernel sockets − one page a
// connection for a broadcast in flight − goReserve), at least a quarter of
// memory_bytes.
func planMemory(h host, o MemoryOptions) MemoryPlan {
	plan := MemoryPlan{Bytes: o.Bytes}
	plan.Ceiling, plan.Source = h.memoryCeiling()
	if plan.Bytes == 0 {
		plan.Bytes = h.memoryBound()
	}
	if _, set := o.LookupEnv("GOGC"); !set {
		plan.GOGC = gcPercent
	}
	plan.Reserved = kernelBytes(h, uint64(max(o.Connections, 0)))
	if _, set := o.LookupEnv("GOMEMLIMIT"); set || plan.Bytes == 0 {
		return plan
	}
	limit := plan.Bytes / 100 * minGoLimitShare
	if spent := plan.Reserved + goReserve; spent < plan.Bytes {
		limit = max(limit, (plan.Bytes-spent)/10*9)
	}
	plan.GoLimit = int64(limit)
	return plan
}

// kernelBytes is what n connections cost in kernel memory at their worst
// moment: the sockets, and a page each while one broadcast is in flight.
func kernelBytes(h host, n uint64) uint64 {
	return n*kernelSocketBytes + broadcastPages(h, n)*h.pageSize
}

// broadcastPages is n, since a queued byte costs a page, but never more than
// tcp_mem lets the kernel hold. Where tcp_mem cannot be read the kernel's
// default stands in for it: 3/32 of RAM.
func broadcastPages(h host, n uint64) uint64 {
	if mem := h.sysctl("net.ipv4.tcp_mem"); len(mem) == 3 {
		return min(n, mem[2])
	}
	if ram := h.ram(); ram > 0 {
		return min(n, ram/32*3/h.pageSize)
	}
	return n
}

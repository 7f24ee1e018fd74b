package tuning

const (
	// ownConnectionBytes is the resident memory of an idle, subscribed plaintext
	// connection in this process: the bar that the benchmark holds.
	ownConnectionBytes = 256

	// kernelSocketBytes is what the kernel keeps for an idle TCP socket in an
	// epoll set: sock, inode, dentry, file, epitem, wait entry. 3.9 KiB.
	kernelSocketBytes = 3994

	// fixedBytes is the process without connections, and the kernel's own needs.
	fixedBytes = 512 << 20

	defaultConnections = 1_000_000
	maxConnections     = 100_000_000
	defaultAcceptRate  = 5000

	// backlogSeconds is how long an accept burst may wait in the kernel's queue.
	// Clients give up after 10 s and retry a lost SYN after 1, 2 and 4 s.
	backlogSeconds = 4

	// tcpMemStep rounds the wanted tcp_mem up, in pages.
	tcpMemStep = 1 << 16
)

// need is what a number of connections asks of a host. Every formula of the
// checks, the memory bill and the sysctl file is a method here.
type need struct {
	connections uint64
	acceptRate  uint64 // per second
	ram         uint64 // bytes; 0 = unknown
	pageSize    uint64
}

// descriptors is the smallest RLIMIT_NOFILE that holds them.
func (n need) descriptors() uint64 { return n.connections + descriptorReserve }

// nrOpen leaves room for other descriptors and rounds up to a power of two, the
// sizes in which the kernel grows its tables.
func (n need) nrOpen() uint64 { return ceilPowerOfTwo(n.connections + 65536) }

func (n need) fileMax() uint64 { return n.connections/10*11 + 100_000 }

// epollWatches has a tenth more: other programs of the user count as well.
func (n need) epollWatches() uint64 { return n.connections + n.connections/10 }

func (n need) backlog() uint64 { return min(n.acceptRate*backlogSeconds, 65535) }

// tcpMem is low, pressure, high in pages. Any queued byte costs a page, so one
// broadcast to everybody needs a page a connection: it must stay below
// pressure, where the kernel begins to shrink windows. High never exceeds a
// quarter of RAM; then the three keep their 2 : 3 : 4.
func (n need) tcpMem() [3]uint64 {
	low := (n.connections + tcpMemStep - 1) / tcpMemStep * tcpMemStep
	if quarter := n.ram / 4 / max(n.pageSize, 1); quarter > 0 && 2*low > quarter {
		low = quarter / 2
	}
	return [3]uint64{low, low / 2 * 3, low * 2}
}

func ceilPowerOfTwo(v uint64) uint64 {
	p := uint64(1)
	for p < v {
		p <<= 1
	}
	return p
}

// cost is one line of the memory bill.
type cost struct {
	Name  string `json:"name"`
	Bytes uint64 `json:"bytes"`
}

// bill is the memory that the connections need at their worst moment.
type bill struct {
	Items   []cost `json:"items"`
	Total   uint64 `json:"total_bytes"`
	Ceiling uint64 `json:"ceiling_bytes"` // 0 = unknown
	Source  string `json:"ceiling_source"`
}

func (n need) bill(h host) bill {
	// 8 bytes a slot, and three bitmaps of one bit a slot.
	table := ceilPowerOfTwo(n.descriptors())
	// The broadcast is priced as if the tcp_mem that the checks ask for were set.
	pages := min(n.connections, max(broadcastPages(h, n.connections), n.tcpMem()[2]))
	b := bill{Items: []cost{
		{"connections, 256 B each", n.connections * ownConnectionBytes},
		{"kernel sockets, 3.9 KiB each", n.connections * kernelSocketBytes},
		{"descriptor table", table*8 + table/8*3},
		{"one broadcast in flight, 1 page each", pages * n.pageSize},
		{"process and kernel", fixedBytes},
	}}
	for _, item := range b.Items {
		b.Total += item.Bytes
	}
	b.Ceiling, b.Source = h.memoryCeiling()
	return b
}

// fits is the number of connections whose bill stays within memoryShare of the
// ceiling, counted by the same prices.
func (b bill) fits(pageSize uint64) uint64 {
	usable := b.Ceiling / 100 * memoryShare
	if usable <= fixedBytes {
		return 0
	}
	return (usable - fixedBytes) / (ownConnectionBytes + kernelSocketBytes + pageSize + 16)
}

package tuning

import (
	"os"

	"github.com/prometheus/client_golang/prometheus"
)

// KernelSources is where the kernel collector reads.
type KernelSources struct {
	// ReadFile reads /proc files, os.ReadFile in a server.
	ReadFile func(path string) ([]byte, error)
	// DescriptorLimit is RLIMIT_NOFILE as RaiseNofile left it.
	DescriptorLimit uint64
	// Sockets counts the client sockets open now; called at a scrape, from any
	// goroutine. Used on kernels before 6.2 only, see descriptorCount.
	Sockets func() int
}

// kernelCollector turns kernel counts into metrics at each scrape. It keeps no
// state between scrapes and takes no lock; a scrape reads five small files.
type kernelCollector struct {
	// Immutable after NewKernelCollector.
	sources     KernelSources
	descriptors descriptorCount

	fds, fdsMax, overflows, tcpMem, sockets, retrans *prometheus.Desc
}

// NewKernelCollector reports descriptors, TCP memory, sockets, listen overflows
// and retransmissions. Make it before the first client socket is open. What the
// process may not read is left out of a scrape, never reported as 0.
func NewKernelCollector(s KernelSources) (prometheus.Collector, error) {
	descriptors, err := newDescriptorCount(
		func() (int64, error) {
			info, err := os.Stat("/proc/self/fd")
			if err != nil {
				return 0, err
			}
			return info.Size(), nil
		},
		func() (int, error) {
			entries, err := os.ReadDir("/proc/self/fd")
			return len(entries), err
		},
		s.Sockets)
	if err != nil {
		return nil, err
	}
	return newKernelCollector(s, descriptors), nil
}

func newKernelCollector(s KernelSources, d descriptorCount) *kernelCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &kernelCollector{
		sources: s, descriptors: d,
		fds:       desc("holdfast_fds", "Open file descriptors of this process."),
		fdsMax:    desc("holdfast_fds_max", "File descriptors this process may open (RLIMIT_NOFILE)."),
		overflows: desc("holdfast_kernel_listen_overflows_total", "Connects dropped because an accept queue was full, in this network namespace."),
		tcpMem:    desc("holdfast_kernel_tcp_mem_pages", "TCP memory of the host in pages: used, and the three levels of net.ipv4.tcp_mem where they can be read.", "level"),
		sockets:   desc("holdfast_kernel_tcp_sockets", "TCP sockets of this network namespace as the kernel counts them.", "kind"),
		retrans:   desc("holdfast_kernel_tcp_retrans_segs_total", "TCP segments sent again, in this network namespace."),
	}
}

// Describe implements prometheus.Collector.
func (c *kernelCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.fds, c.fdsMax, c.overflows, c.tcpMem, c.sockets, c.retrans} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *kernelCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge(c.fds, float64(c.descriptors.now()))
	gauge(c.fdsMax, float64(c.sources.DescriptorLimit))
	k := readKernel(c.sources.ReadFile)
	if k.hasOverflows {
		counter(c.overflows, float64(k.listenOverflows))
	}
	if k.hasRetrans {
		counter(c.retrans, float64(k.retransSegs))
	}
	for level, pages := range k.tcpMem {
		gauge(c.tcpMem, float64(pages), level)
	}
	for kind, n := range k.sockets {
		gauge(c.sockets, float64(n), kind)
	}
}

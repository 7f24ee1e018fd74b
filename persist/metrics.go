package persist

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("holdfast_"+name, help, labels, nil)
}

// descs are this package's metrics; operations documentation lists them.
var descs = struct {
	syncs, batch, commits, committed, fileBytes, files, heads, resident, keys,
	cacheBytes, blocks, errors, unsaved, unsavedBytes, journalBytes, unlogged, epochs, damaged, degraded, behind,
	queued, durable *prometheus.Desc
}{
	syncs:        desc("store_sync_duration_seconds", "Time of a journal sync, which a durable publish waits for."),
	batch:        desc("store_batch_messages", "Logged events of one journal write."),
	commits:      desc("store_commit_duration_seconds", "Time of one commit of events into segment files."),
	committed:    desc("store_committed_messages_total", "Events committed into segment files."),
	fileBytes:    desc("store_file_bytes", "Bytes in use of the log's files.", "file"),
	files:        desc("store_files", "Segment files, by retention class.", "class"),
	heads:        desc("store_heads", "Channels whose position is on disk."),
	resident:     desc("store_resident_heads", "Channels whose position is in memory."),
	keys:         desc("store_idempotency_keys", "Idempotency keys remembered on disk."),
	cacheBytes:   desc("store_cache_bytes", "Bytes of events kept in memory for readers.", "part"),
	blocks:       desc("store_blocks_total", "Blocks asked for, by where they came from.", "from"),
	errors:       desc("store_errors_total", "Errors of the log, by operation and errno.", "op", "errno"),
	unsaved:      desc("store_unsaved_messages", "Events in journal and memory that are in no segment yet."),
	unsavedBytes: desc("store_unsaved_bytes", "Memory of those events."),
	journalBytes: desc("store_journal_bytes", "Size of the journal's newest part."),
	unlogged:     desc("store_unlogged_messages_total", "Events delivered that the log could not keep."),
	epochs:       desc("store_epochs_ended_total", "Epochs that ended because continuity could not be proved."),
	damaged:      desc("store_damaged_files_total", "Files that were found damaged and set aside."),
	degraded:     desc("store_degraded", "1 while the log cannot write."),
	behind:       desc("store_behind", "1 while delivered events are missing in the log."),
	queued:       desc("store_queued_messages", "Events that wait for a sequencer."),
	durable:      desc("store_durable_waiting", "Durable events that wait for their sync."),
}

// NewCollector exposes the log's counters. Safe to scrape until the log is closed.
func NewCollector(l *Log) prometheus.Collector { return &collector{l} }

type collector struct{ log *Log }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	d := &descs
	for _, d := range []*prometheus.Desc{
		d.syncs, d.batch, d.commits, d.committed, d.fileBytes, d.files, d.heads,
		d.resident, d.keys, d.cacheBytes, d.blocks, d.errors, d.unsaved, d.unsavedBytes, d.journalBytes, d.unlogged,
		d.epochs, d.damaged, d.degraded, d.behind, d.queued, d.durable,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	histogram := func(d *prometheus.Desc, h *histogram) {
		buckets, count, sum := h.read()
		ch <- prometheus.MustNewConstHistogram(d, count, sum, buckets)
	}
	s := &c.log.stats
	histogram(descs.syncs, &s.syncs)
	histogram(descs.batch, &s.groups)
	histogram(descs.commits, &s.commits)
	counter(descs.committed, s.committed.Load())
	counter(descs.unlogged, s.unlogged.Load())
	counter(descs.epochs, s.epochs.Load())
	s.errors.each(func(l errorLabel, n uint64) { counter(descs.errors, n, l.op, l.errno) })
	c.now(gauge)
	c.segments(counter, gauge)
}

// now reports what the log holds at this moment.
func (c *collector) now(gauge func(*prometheus.Desc, float64, ...string)) {
	st := c.log.Stats()
	gauge(descs.unsaved, float64(st.Unsaved))
	gauge(descs.unsavedBytes, float64(st.UnsavedBytes))
	gauge(descs.journalBytes, float64(st.JournalBytes))
	gauge(descs.resident, float64(st.Resident))
	gauge(descs.queued, float64(st.Queued))
	gauge(descs.durable, float64(st.Durable))
	gauge(descs.degraded, oneIf(st.Degraded))
	gauge(descs.behind, oneIf(st.Behind))
	gauge(descs.cacheBytes, float64(c.log.stats.tailBytes.Load()), "tails")
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (c *collector) segments(counter func(*prometheus.Desc, uint64, ...string), gauge func(*prometheus.Desc, float64, ...string)) {
	if c.log.standby.Load() {
		return
	}
	st := c.log.store.Stats()
	all := int64(0)
	for class, n := range st.Files {
		gauge(descs.files, float64(n), strconv.Itoa(class))
		all += st.FileBytes[class]
	}
	gauge(descs.fileBytes, float64(all), "segments")
	gauge(descs.fileBytes, float64(st.HeadsBytes), "heads")
	gauge(descs.heads, float64(st.Heads))
	gauge(descs.keys, float64(st.Keys))
	gauge(descs.cacheBytes, float64(st.CacheBytes), "blocks")
	counter(descs.blocks, st.BlockHits, "memory")
	counter(descs.blocks, st.BlockLoads, "disk")
	counter(descs.damaged, c.log.stats.damaged.Load())
}

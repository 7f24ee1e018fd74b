package persist

// Probe returns when every sequencer has taken a turn since the call. While a write
// or a sync of the disk hangs it does not return, so a watchdog calls it aside.
func (l *Log) Probe() {
	for _, s := range l.shards {
		s.do(func() {})
	}
}

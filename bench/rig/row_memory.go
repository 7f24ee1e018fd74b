package main

import "fmt"

// measureMemory gives the rows "memory" and "channel".
//
// memory: what one more connection on one shared channel adds to the resident size, from N1 to N2 connections; each
// reading is taken Settle after the last connect, without any call that would make the server tidy up.
// channel: the same once more in another process with a channel of its own for every connection; the difference is the
// price of a channel. The floor knows no channels: it has no such figure.
func measureMemory(b *bench, t target) (map[string]sample, error) {
	out := map[string]sample{}
	shared, err := b.growth(t, nil)
	if err != nil {
		return nil, err
	}
	out["memory"] = shared
	if !t.pusher || !b.wants("channel") {
		return out, nil
	}
	own, err := b.growth(t, func(i int) string { return fmt.Sprintf("bench-%026d", i) })
	if err != nil {
		return nil, err
	}
	out["channel"] = sample{Value: own.Value - shared.Value, Detail: map[string]float64{
		"anon_bytes": own.Detail["anon_bytes"] - shared.Detail["anon_bytes"],
		"pss_bytes":  own.Detail["pss_bytes"] - shared.Detail["pss_bytes"],
	}}
	return out, nil
}

// idleNoise is what the row "idle" may show: the resident size is counted in pages and a Go heap grows in steps, so runs of
// one server on an idle machine differ by up to 14. Unit: bytes a connection.
const idleNoise = 16

// measureIdle gives the row "idle": how much more one idle subscribed connection holds when its channel has history, as
// by default, than on a holdfast without; both by the method of the row "memory".
func measureIdle(b *bench, t target) (map[string]sample, error) {
	with, err := b.growth(t, nil)
	if err != nil {
		return nil, fmt.Errorf("with history: %w", err)
	}
	without, err := b.growth(t.with(noHistory), nil)
	if err != nil {
		return nil, fmt.Errorf("without history: %w", err)
	}
	return map[string]sample{"idle": {Value: with.Value - without.Value, Detail: map[string]float64{
		"with_bytes": with.Value, "without_bytes": without.Value,
		"anon_bytes": with.Detail["anon_bytes"] - without.Detail["anon_bytes"], "pss_bytes": with.Detail["pss_bytes"] - without.Detail["pss_bytes"],
	}}}, nil
}

func (b *bench) wants(name string) bool {
	for _, r := range b.plan.Rows {
		if r == name {
			return true
		}
	}
	return false
}

// growth is the resident size that one connection adds.
func (b *bench) growth(t target, channelOf func(i int) string) (s sample, err error) {
	err = b.withCrowd(t, func(c *crowd) error {
		c.channelOf = channelOf
		small, err := b.settled(c, b.plan.N1)
		if err != nil {
			return err
		}
		large, err := b.settled(c, b.plan.N2)
		if err != nil {
			return err
		}
		per := func(large, small int64) float64 { return float64(large-small) / float64(b.plan.N2-b.plan.N1) }
		s = sample{Value: per(large.rss, small.rss), Detail: map[string]float64{
			"anon_bytes": per(large.anon, small.anon), "pss_bytes": per(large.pss, small.pss),
			"rss_n1": float64(small.rss), "rss_n2": float64(large.rss),
		}}
		return nil
	})
	return s, err
}

// settled brings the crowd to n subscribers and reads the server's memory once it has been quiet.
func (b *bench) settled(c *crowd, n int) (memory, error) {
	if err := c.connect(n, b.plan.Concurrency); err != nil {
		return memory{}, err
	}
	if err := c.rest(b.plan.Settle); err != nil {
		return memory{}, err
	}
	return c.srv.memory()
}

package redisbroker

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// BenchmarkDelivery is the time from a publish on one node to its hand-out on another, and
// beside it, in turn, from PUBLISH to the message on a bare subscription.
func BenchmarkDelivery(b *testing.B) {
	s := redistest.Start(b, "--appendfsync", "everysec")
	from, to := join(b, testConfig(s)), join(b, testConfig(s))
	to.subscribe(news)
	bare := make(chan struct{}, 1)
	conn, release := client(b, s).Dedicate()
	defer release()
	conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(rueidis.PubSubMessage) { bare <- struct{}{} }})
	if err := conn.Do(context.Background(), conn.B().Subscribe().Channel("bare").Build()).Error(); err != nil {
		b.Fatal(err)
	}
	came := make(chan struct{}, 1)
	to.onReceive = func() { came <- struct{}{} }
	text := `{"event":"e","channel":"news","data":"` + strings.Repeat("x", 100) + `"`
	raw := client(b, s)
	var ours, floor []time.Duration
	for b.Loop() {
		began := time.Now()
		from.must(news, text)
		<-came
		ours = append(ours, time.Since(began))
		began = time.Now()
		if err := raw.Do(context.Background(), raw.B().Publish().Channel("bare").Message(text).Build()).Error(); err != nil {
			b.Fatal(err)
		}
		<-bare
		floor = append(floor, time.Since(began))
	}
	for name, list := range map[string][]time.Duration{"": ours, "raw-": floor} {
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)/2].Microseconds()), name+"p50-µs")
		b.ReportMetric(float64(list[len(list)*99/100].Microseconds()), name+"p99-µs")
	}
}

// cpuSeconds is what a process has used.
func cpuSeconds(b *testing.B, pid int) float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+2:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // USER_HZ
}

// BenchmarkPublish is what one Redis takes: 64 publishers, 100 channels.
func BenchmarkPublish(b *testing.B) {
	s := redistest.Start(b, "--appendfsync", "everysec")
	n := join(b, testConfig(s))
	text := `{"event":"e","channel":"news","data":"` + strings.Repeat("x", 100) + `"`
	before, began := cpuSeconds(b, s.PID()), time.Now()
	events := make(chan int)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := range events {
				n.must(fmt.Sprint("app\x1fc", i%100), text)
			}
		})
	}
	for i := 0; b.Loop(); i++ {
		events <- i
	}
	close(events)
	all.Wait()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "events/s")
	b.ReportMetric(float64(b.N)/(cpuSeconds(b, s.PID())-before), "events/Redis-CPU-s")
}

// BenchmarkMemory is what a followed channel costs in Redis and on the node, and what an
// event costs in Redis.
func BenchmarkMemory(b *testing.B) {
	const channels, events = 10_000, 100
	s := redistest.Start(b, "--appendonly", "no")
	n := join(b, testConfig(s))
	used := func() float64 {
		text := s.Text("INFO", "memory")
		v, err := strconv.ParseFloat(infoField(text, "used_memory"), 64)
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	key := func(i int) string { return fmt.Sprintf("app-id\x1fprivate-App.Models.User.%06d", i) }
	redis, node := used(), heap()
	var all sync.WaitGroup
	for part := range 100 {
		all.Go(func() {
			for i := part * channels / 100; i < (part+1)*channels/100; i++ {
				n.subscribe(key(i))
			}
		})
	}
	all.Wait()
	perChannel, perFollow := (used()-redis)/channels, (heap()-node)/channels
	redis = used()
	text := `{"event":"e","channel":"news","data":"` + strings.Repeat("x", 100) + `"`
	for i := range 100 {
		for range events / 10 {
			n.publish(key(i), nil, text, text, text, text, text, text, text, text, text, text)
		}
	}
	perEvent := (used() - redis) / (100 * events)
	for b.Loop() { //nolint:revive // it begins with forgetting what was reported
	}
	b.ReportMetric(perChannel, "Redis-B/channel")
	b.ReportMetric(perFollow, "node-B/channel")
	b.ReportMetric(perEvent, "Redis-B/event")
}

// BenchmarkHeads is what Redis is asked for by a node that comes back, a head for each of
// its channels: each turn is 10,000.
func BenchmarkHeads(b *testing.B) {
	const channels = 10_000
	s := redistest.Start(b, "--appendfsync", "everysec")
	n := join(b, testConfig(s))
	var list []*follow
	for i := range channels {
		key := fmt.Sprintf("app-id\x1fprivate-App.Models.User.%06d", i)
		list = append(list, &follow{key: key, name: n.keys.of(key), numbered: true})
	}
	read := func() {
		for some := range slices.Chunk(list, subscribeMost) {
			if _, err := n.heads(context.Background(), n.client, some); err != nil {
				b.Fatal(err)
			}
		}
	}
	read() // they have heads from now on
	before := cpuSeconds(b, s.PID())
	for b.Loop() {
		read()
	}
	b.ReportMetric((cpuSeconds(b, s.PID())-before)*1e6/float64(b.N)/channels, "Redis-µs/head")
}

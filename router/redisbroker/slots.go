package redisbroker

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router/redisurl"
)

// slotCount is the number of hash slots of a Redis Cluster.
const slotCount = 16384

// slotOf is the hash slot of a name: CRC16 (XMODEM) of what stands between the first
// brace and the next closing one (Redis Cluster specification, "Hash tags").
func slotOf(name string) uint16 {
	if _, rest, ok := strings.Cut(name, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			name = tag
		}
	}
	var crc uint16
	for i := 0; i < len(name); i++ {
		crc ^= uint16(name[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % slotCount
}

// route asks the Cluster who serves what.
func (b *Broker) route() {
	nodes := b.client.Nodes()
	for host, client := range nodes {
		ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
		slots, err := readSlots(client.Do(ctx, client.B().ClusterSlots().Build()), host)
		cancel()
		if err == nil {
			b.reroute(slots, nodes)
			return
		}
	}
}

// routes keeps the routes, and looks at once when a server said that it has a slot no more.
func (b *Broker) routes() {
	tick := time.NewTicker(redisurl.Refresh)
	defer tick.Stop()
	for {
		b.route()
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		case <-b.moved:
			time.Sleep(reachLate) // one look for many slots
		}
	}
}

// readSlots is the address of the master of each slot, out of the answer to CLUSTER
// SLOTS of a server: rows of first slot, last slot, master, replicas.
func readSlots(r rueidis.RedisResult, asked string) ([]string, error) {
	rows, err := r.ToArray()
	if err != nil {
		return nil, err
	}
	self, _, _ := net.SplitHostPort(asked)
	slots := make([]string, slotCount)
	for _, row := range rows {
		fields, err := row.ToArray()
		if err != nil || len(fields) < 3 {
			return nil, errAnswer
		}
		first, err1 := fields[0].AsInt64()
		last, err2 := fields[1].AsInt64()
		master, err3 := fields[2].ToArray()
		if err1 != nil || err2 != nil || err3 != nil || len(master) < 2 || first < 0 || last >= slotCount {
			return nil, errAnswer
		}
		host, _ := master[0].ToString()
		if host == "" {
			host = self // it does not know its own name
		}
		port, err := master[1].AsInt64()
		if err != nil {
			return nil, err
		}
		server := net.JoinHostPort(host, strconv.FormatInt(port, 10))
		for s := first; s <= last; s++ {
			slots[s] = server
		}
	}
	return slots, nil
}

package router

import "unsafe"

// Bytes returns what the router keeps for its connections, for capacity metrics:
// the fixed record of each, and all memberships together (node and place in the
// channel's member array).
func (r *Router) Bytes() (perConn, memberships float64) {
	const memberBytes = 4
	var live int64
	for _, s := range r.shards {
		for i := range s.stats.subscriptions {
			live += s.stats.subscriptions[i].Load()
		}
	}
	return float64(unsafe.Sizeof(session{})), float64(live) * float64(unsafe.Sizeof(membership{})+memberBytes)
}

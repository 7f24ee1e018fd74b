// Package cluster drives several real servers that one real Redis joins, over real
// sockets, and breaks what can break between them.
//
// It owns its processes and nothing else; it holds tests only.
package cluster

// Package redisbroker joins the nodes of a cluster through Redis or Valkey: it is the
// log that they share (router.Log) and the way on which its events come to each of them
// (router.Broker).
//
// # A publish
//
// is one call of a script (publish.lua), which gives the event its number, appends it to
// the channel's stream and publishes it. The script compares the server's master_replid
// with the one that the channel's head was written under. It is new at every restart and
// every promotion, so whatever Redis may have lost then, the channel gets a new epoch and
// no client is told that it missed nothing.
//
// # The way to a node
//
// A node subscribes to the channels that it has subscribers of, and to nothing else. An
// event is handed out when it comes back from Redis, never before, also on the node that
// published it: so all nodes have one order. Following a channel is SUBSCRIBE, its answer,
// then the head; what came in between is behind the head or is dropped. A number that is
// not the next one, a new connection, and every thirty seconds a comparison of heads make
// the node read what it lacks from the stream before it goes on.
//
// Each connection says something to itself every second (the canary); after three seconds
// without hearing it the connection is given up and dialled anew.
//
// # What it trusts
//
// Envelopes are authenticated with a key of the cluster's own (envelope.go), so whoever
// can write to Redis cannot make up an event, though it can repeat or remove some.
//
// # Topologies
//
// One server, Sentinel, or a Cluster with sharded pub/sub: then there is one connection
// for each master (lane), and a channel's connection is its slot's master.
package redisbroker

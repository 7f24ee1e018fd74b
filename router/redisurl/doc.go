// Package redisurl reads where a Redis or Valkey is, and how it is reached:
//
//	redis://[user[:password]@]host[:6379][/db]              one server
//	rediss://…                                              the same over TLS
//	redis+sentinel://[…@]h1[:26379],h2/[db]?master=NAME     Sentinel
//	redis+cluster://[…@]h1[:6379],h2                        Cluster
//
// With tls=1 in the query the last two use TLS.
package redisurl

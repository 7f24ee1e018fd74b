// Package ingest publishes what an application says with Laravel's redis broadcaster:
// it listens to the application's own Redis for messages on {prefix}{channel}, where the
// framework publishes {"event":…,"data":…,"socket":…} (Illuminate\Broadcasting\
// Broadcasters\RedisBroadcaster), and hands them to the router like events of the HTTP
// API. The data of an event is the JSON of its value, byte for byte.
//
// All nodes listen, and the one that holds a lease in that Redis publishes. When it dies
// another one takes over when the lease has ended; what was said in between, three
// seconds at most, is lost: the framework's PUBLISH keeps nothing. An application that
// must not lose an event publishes over HTTP.
package ingest

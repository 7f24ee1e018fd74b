package pusher

import "strings"

// Kind is what the prefix of a channel's name says about it: a set of bits, 0 for
// a public channel.
type Kind uint8

const (
	// Private channels need a signature. Encrypted ones are also Private.
	Private Kind = 1 << iota
	// Presence channels need a signature and show who is there.
	Presence
	// Encrypted channels carry data that the server cannot read.
	Encrypted
	// Cache channels keep their last event for new subscribers.
	Cache
	// ServerToUser channels belong to one signed-in user.
	ServerToUser
)

const serverToUserPrefix = "#server-to-user-"

// KindOf reads the kind from the name. Prefixes are anchored and include their
// dash: "privateer" and "my-private-x" are public.
func KindOf(channel string) Kind {
	if len(channel) == 0 {
		return 0
	}
	switch channel[0] {
	case 'p':
		if rest, ok := strings.CutPrefix(channel, "private-"); ok {
			kind := Private
			if inner, ok := strings.CutPrefix(rest, "encrypted-"); ok {
				kind, rest = kind|Encrypted, inner
			}
			return kind | cacheOf(rest)
		}
		if rest, ok := strings.CutPrefix(channel, "presence-"); ok {
			return Presence | cacheOf(rest)
		}
	case 'c':
		return cacheOf(channel)
	case '#':
		if strings.HasPrefix(channel, serverToUserPrefix) {
			return ServerToUser
		}
	}
	return 0
}

func cacheOf(name string) Kind {
	if strings.HasPrefix(name, "cache-") {
		return Cache
	}
	return 0
}

// NeedsAuth tells whether a subscribe must carry a signature. A ServerToUser
// channel needs a sign-in instead.
func (k Kind) NeedsAuth() bool { return k&(Private|Presence) != 0 }

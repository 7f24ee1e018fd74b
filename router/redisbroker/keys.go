package redisbroker

import (
	"strings"
)

// keys names everything of a channel in Redis. All names carry one hash tag, so a
// Cluster keeps them in one slot and one script may touch them all.
//
//	{prefix}{{app:channel}}m    hash    the head: e epoch, s start, q seq, r master_replid
//	{prefix}{{app:channel}}l    stream  the kept events; the id is the number, b head and envelope,
//	                            t the bytes of all envelopes up to this one
//	{prefix}{{app:channel}}c    string  a cache channel's last event
//	{prefix}{{app:channel}}i:K  string  what a publish with idempotency key K became
//	{prefix}{{app:channel}}     pub/sub the events as they are published; changes of presence: their version, 0, p
//
// K is the SHA-256 of the key, in hexadecimal.
type keys struct {
	prefix string // before the hash tag; without braces
}

// of is the part that all names of a channel begin with. It is the pub/sub channel.
func (k keys) of(key string) string {
	return k.prefix + "{" + escape(key) + "}"
}

const (
	suffixHead   = "m"
	suffixStream = "l"
	suffixCache  = "c"
	suffixOnce   = "i:"
)

const hexDigits = "0123456789abcdef"

// escape makes a key that a person can read out of any bytes, without the braces that
// end a hash tag: the separator becomes a colon, and what could be taken for something
// else %XX.
func escape(key string) string {
	plain := true
	for i := 0; i < len(key); i++ {
		plain = plain && isPlain(key[i])
	}
	if plain {
		return key
	}
	var b strings.Builder
	for i := 0; i < len(key); i++ {
		switch c := key[i]; {
		case c == separator:
			b.WriteByte(':')
		case isPlain(c):
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// separator stands between the application and the channel (router.LogKey).
const separator = '\x1f'

// isPlain: any printable ASCII but blanks, the braces, the escape and the colon.
func isPlain(c byte) bool {
	return c > ' ' && c < 0x7f && c != '{' && c != '}' && c != '%' && c != ':'
}

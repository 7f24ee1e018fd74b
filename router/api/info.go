package api

import (
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
)

// attribute names a bit of router.Info on the wire.
type attribute struct {
	name string
	bit  router.Info
}

// attributes are the known names of info, in the order of the answers.
var attributes = [...]attribute{
	{"user_count", router.InfoUserCount},
	{"subscription_count", router.InfoSubscriptionCount},
	{"cache", router.InfoCache},
}

// attributePosition is known, too. It has no bit: not the directory knows it, but
// the log, and on a publish the event's receipt.
const attributePosition = "position"

// parseInfo reads the comma-separated list of a request. position tells whether
// it asked for the position, which has no bit.
func parseInfo(list string) (want router.Info, position bool, r *refusal) {
	if list == "" {
		return 0, false, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		switch name = strings.TrimSpace(name); name {
		case attributePosition:
			position = true
		case "":
			return 0, false, refuse(400, codeBadInfo, "info holds an empty name: names are separated by single commas")
		default:
			bit := attributeBit(name)
			if bit == 0 {
				return 0, false, refuse(400, codeBadInfo, "info "+shown(name)+" is not known: it may be user_count, subscription_count, cache or position")
			}
			want |= bit
		}
	}
	return want, position, nil
}

func attributeBit(name string) router.Info {
	for _, a := range attributes {
		if a.name == name {
			return a.bit
		}
	}
	return 0
}

// attributesOf are the attributes that a kind of channel can have.
func attributesOf(k pusher.Kind) router.Info {
	can := router.InfoSubscriptionCount
	if k&pusher.Presence != 0 {
		can = router.InfoUserCount
	}
	if k&pusher.Cache != 0 {
		can |= router.InfoCache
	}
	return can
}

// cachePrefixes are the beginnings of all cache channels.
var cachePrefixes = [...]string{"cache-", "private-cache-", "private-encrypted-cache-", "presence-cache-"}

// attributesOfPrefix are the attributes that every channel with the prefix can have.
func attributesOfPrefix(prefix string) router.Info {
	const presence = "presence-"
	var can router.Info
	switch {
	case strings.HasPrefix(prefix, presence):
		can = router.InfoUserCount
	case !strings.HasPrefix(presence, prefix):
		can = router.InfoSubscriptionCount
	}
	for _, p := range cachePrefixes {
		if strings.HasPrefix(prefix, p) {
			can |= router.InfoCache
		}
	}
	return can
}

// queryInfo reads info of a query about what can have the attributes can.
func queryInfo(list, about string, can router.Info) (want router.Info, position bool, r *refusal) {
	want, position, r = parseInfo(list)
	if r != nil {
		return 0, false, r
	}
	for _, a := range attributes {
		if a.bit&want&^can != 0 {
			return 0, false, refuse(400, codeBadInfo, "info "+a.name+": "+about+" cannot have it ("+attributeNeeds(a.bit)+")")
		}
	}
	return want, position, nil
}

// attributeNeeds says which channels have an attribute.
func attributeNeeds(bit router.Info) string {
	switch bit {
	case router.InfoUserCount:
		return "presence channels do, their names begin with presence-"
	case router.InfoSubscriptionCount:
		return "all channels but presence channels do"
	default:
		return "cache channels do, their names begin with cache-, private-cache-, private-encrypted-cache- or presence-cache-"
	}
}

// appendAttributes appends the members that were wanted, each with a comma before
// it: the caller's object begins with a member, or it drops the first byte.
func appendAttributes(dst []byte, want router.Info, in router.ChannelInfo) []byte {
	if want&router.InfoUserCount != 0 {
		dst = append(dst, `,"user_count":`...)
		dst = strconv.AppendInt(dst, int64(in.UserCount), 10)
	}
	if want&router.InfoSubscriptionCount != 0 {
		dst = append(dst, `,"subscription_count":`...)
		dst = strconv.AppendInt(dst, int64(in.SubscriptionCount), 10)
	}
	if want&router.InfoCache != 0 {
		dst = append(dst, `,"cache":`...)
		if in.Cache == nil {
			return append(dst, "null"...)
		}
		dst = append(dst, `{"data":`...)
		dst = pusher.AppendString(dst, in.Cache.Data)
		dst = append(dst, `,"ttl":`...)
		// Whole seconds, rounded up: what is still there has a second to live.
		dst = strconv.AppendInt(dst, int64((in.Cache.TTL+time.Second-1)/time.Second), 10)
		dst = append(dst, '}')
	}
	return dst
}

// appendPosition appends a position as a member, with a comma before it.
func appendPosition(dst []byte, epoch string, seq uint64) []byte {
	dst = append(dst, `,"position":`...)
	return pusher.AppendPositionObject(dst, epoch, seq)
}

// appendObject appends the wanted attributes as an object of their own.
func appendObject(dst []byte, want router.Info, in router.ChannelInfo) []byte {
	return asObject(appendAttributes(dst, want, in), len(dst))
}

// asObject makes an object of the members that stand behind at, each with a comma
// before it.
func asObject(dst []byte, at int) []byte {
	if len(dst) == at {
		return append(dst, "{}"...)
	}
	dst[at] = '{'
	return append(dst, '}')
}

package api

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast-edge/holdfast/router"
)

// submission is one event as its JSON said it, before it is checked.
// An empty string and an absent member are told apart by the given bits.
type submission struct {
	given members
	event router.Event // its Channels are in the order given, at most one more than the limit
	info  string
	key   string // idempotency_key

	// What info says, once it is checked.
	want     router.Info
	position bool

	named int              // how many channels were given, beyond the limit too
	one   [1]string        // the array of a single channel
	all   [1]*router.Event // the array of the event
}

// members is the set of members that an object had. A member that is null is absent.
type members uint16

const (
	hasEvent members = 1 << iota
	hasData
	hasChannel
	hasChannels
	hasSocketID
	hasInfo
	hasKey     // idempotency_key
	hasDurable // durable, and true
	hasBatch
)

// batch is a batch_events body.
type batch struct {
	given  members // hasBatch, hasKey, hasDurable of the top level
	key    string  // idempotency_key of the top level
	events []*submission
	named  int // how many events were given, beyond the limit too
}

// readEvent reads the body of POST events. At most maxChannels+1 channels are kept.
func (d *decoder) readEvent(body []byte, maxChannels int) (*submission, *refusal) {
	d.begin(body)
	sub, r := d.submission("", maxChannels)
	if r != nil {
		return nil, r
	}
	return sub, d.end()
}

// readBatch reads the body of POST batch_events. At most maxEvents+1 events are kept.
func (d *decoder) readBatch(body []byte, maxEvents, maxChannels int) (*batch, *refusal) {
	d.begin(body)
	b := new(batch)
	if r := d.open("the request body"); r != nil {
		return nil, r
	}
	for d.json.PeekKind() != '}' {
		name, r := d.member()
		if r != nil {
			return nil, r
		}
		switch string(name) {
		case "batch":
			r = d.batchEvents(b, maxEvents, maxChannels)
		case "durable":
			r = d.boolMember("durable", hasDurable, &b.given)
		case "idempotency_key":
			b.key, r = d.batchKey(b)
		default:
			r = d.skip()
		}
		if r != nil {
			return nil, r
		}
	}
	if r := d.close(); r != nil {
		return nil, r
	}
	return b, d.end()
}

// batchKey reads the idempotency key of a batch.
func (d *decoder) batchKey(b *batch) (string, *refusal) {
	d.text = d.text[:0]
	key, r := d.keyMember(&b.given)
	return string(d.text[key.from:key.to]), r
}

// batchEvents reads the array of a batch.
func (d *decoder) batchEvents(b *batch, maxEvents, maxChannels int) *refusal {
	if d.json.PeekKind() == 'n' {
		return d.skip()
	}
	if k := d.json.PeekKind(); k != '[' {
		return d.wrongForm("batch", "an array of events", k)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return badJSON(err)
	}
	b.given |= hasBatch
	for d.json.PeekKind() != ']' {
		b.named++
		if b.named > maxEvents+1 {
			if r := d.skip(); r != nil {
				return r
			}
			continue
		}
		sub, r := d.submission(batchPlace(b.named-1), maxChannels)
		if r != nil {
			return r
		}
		b.events = append(b.events, sub)
	}
	return d.close()
}

// submission reads one event object. where names it in refusals: "" or "batch[3]".
func (d *decoder) submission(where string, maxChannels int) (*submission, *refusal) {
	what := where
	if what == "" {
		what = "the request body"
	}
	if r := d.open(what); r != nil {
		return nil, r
	}
	d.text, d.chs = d.text[:0], d.chs[:0]
	var event, data, socketID, info, key span
	sub := new(submission)
	for d.json.PeekKind() != '}' {
		name, r := d.member()
		if r != nil {
			return nil, r
		}
		switch string(name) {
		case "name":
			event, r = d.stringMember("name", hasEvent, &sub.given)
		case "data":
			data, r = d.stringMember("data", hasData, &sub.given)
		case "channel":
			r = d.channel(sub, maxChannels)
		case "channels":
			r = d.channels(sub, maxChannels)
		case "socket_id":
			socketID, r = d.stringMember("socket_id", hasSocketID, &sub.given)
		case "info":
			info, r = d.stringMember("info", hasInfo, &sub.given)
		case "durable":
			r = d.boolMember("durable", hasDurable, &sub.given)
		case "idempotency_key":
			if where == "" {
				key, r = d.keyMember(&sub.given)
			} else {
				r = d.anyMember(hasKey, &sub.given)
			}
		default:
			r = d.skip()
		}
		if r != nil {
			return nil, r.in(where)
		}
	}
	if r := d.close(); r != nil {
		return nil, r
	}

	// One string holds them all: it lives as long as the event does.
	text := string(d.text)
	cut := func(s span) string { return text[s.from:s.to] }
	sub.event = router.Event{Name: cut(event), Data: cut(data), Except: cut(socketID), Channels: sub.one[:0]}
	sub.info, sub.key = cut(info), cut(key)
	if len(d.chs) > 1 {
		sub.event.Channels = make([]string, 0, len(d.chs))
	}
	for _, c := range d.chs {
		sub.event.Channels = append(sub.event.Channels, cut(c))
	}
	return sub, nil
}

// channel reads the member of that name.
func (d *decoder) channel(sub *submission, maxChannels int) *refusal {
	c, r := d.stringMember("channel", hasChannel, &sub.given)
	if r == nil && sub.given&hasChannel != 0 {
		d.keepChannel(sub, c, maxChannels)
	}
	return r
}

// channels reads the member of that name.
func (d *decoder) channels(sub *submission, maxChannels int) *refusal {
	switch k := d.json.PeekKind(); k {
	case 'n':
		return d.skip()
	case '[':
	default:
		return d.wrongForm("channels", "an array of strings", k)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return badJSON(err)
	}
	sub.given |= hasChannels
	for d.json.PeekKind() != ']' {
		if k := d.json.PeekKind(); k != '"' && k != jsontext.KindInvalid {
			return d.wrongForm("channels["+strconv.Itoa(sub.named)+"]", "a JSON string", k)
		}
		from := len(d.text)
		c, r := d.readText()
		if r != nil {
			return r
		}
		if !d.keepChannel(sub, c, maxChannels) {
			d.text = d.text[:from]
		}
	}
	return d.close()
}

// keepChannel counts a channel, and keeps it unless there are too many to keep.
func (d *decoder) keepChannel(sub *submission, c span, maxChannels int) bool {
	sub.named++
	if sub.named > maxChannels+1 {
		return false
	}
	d.chs = append(d.chs, c)
	return true
}

// batchPlace names an event of a batch in a sentence.
func batchPlace(i int) string { return "batch[" + strconv.Itoa(i) + "]" }

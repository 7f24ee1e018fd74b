package pusher

// Message is the envelope of one inbound message. Its slices are borrowed: from the
// bytes given to Decode, or from the Decoder, until the next Decode.
type Message struct {
	// Event is the event's name; never empty.
	Event []byte
	// Channel is nil when the message names none.
	Channel []byte
	// Data is the data member as it stands in the message, a valid JSON text; nil
	// when there is none.
	Data []byte
	// DataIsString tells that Data is a JSON string; Decoder.String reads it.
	DataIsString bool
}

// Decoder reads inbound messages. The zero value is ready. It is owned by one loop.
type Decoder struct {
	// scratch holds texts that had escapes. Its first kept bytes belong to the last
	// Decode, what follows to the last reading of a data member.
	scratch []byte
	kept    int
}

// maxScratch bounds the memory that a Decoder keeps between messages. Unit: bytes.
const maxScratch = 64 << 10

// Decode reads one message into m. p must be valid UTF-8.
//
// A message is a JSON object with a string event, not empty; channel is a string,
// null or absent; unknown members are ignored. Of members that are named twice the
// last one counts, as in browsers. ErrMalformed: p is anything else, and m is then
// of no use.
//
// Decode does not allocate, but for messages with more escaped text than any before.
func (d *Decoder) Decode(p []byte, m *Message) error {
	d.Forget(m)
	var event, channel, data []byte
	o := openObject(p)
	for o.next() {
		switch {
		case o.named("event"):
			event = o.value
		case o.named("channel"):
			channel = o.value
		case o.named("data"):
			data = o.value
		}
	}
	if !o.ok() {
		return ErrMalformed
	}
	d.scratch, d.kept = d.scratch[:0], 0
	var ok bool
	if m.Event, ok = d.text(event); !ok || len(m.Event) == 0 {
		return ErrMalformed
	}
	if m.Channel, ok = d.text(channel); !ok {
		return ErrMalformed
	}
	d.kept = len(d.scratch)
	m.Data, m.DataIsString = data, isString(data)
	return nil
}

// Forget empties m, which aliases the input that it was read from, and gives up memory
// beyond 64 KiB: a decoder that gets no other message for hours must not keep the last
// one, which may be megabytes.
func (d *Decoder) Forget(m *Message) {
	*m = Message{}
	if cap(d.scratch) > maxScratch {
		d.scratch, d.kept = nil, 0
	}
}

// String returns the text of a JSON string, such as Message.Data when DataIsString.
// ErrMalformed: data is no JSON string.
func (d *Decoder) String(data []byte) (string, error) {
	d.scratch = d.scratch[:d.kept]
	text, ok := d.text(data)
	if !ok || !isString(data) {
		return "", ErrMalformed
	}
	return string(text), nil
}

func isString(value []byte) bool { return len(value) > 0 && value[0] == '"' }

func isNull(value []byte) bool { return len(value) > 0 && value[0] == 'n' }

// text is the text of a valid JSON value that has to be a string: borrowed from it,
// or from the scratch if it has escapes. A null or absent value is nil.
func (d *Decoder) text(value []byte) (text []byte, ok bool) {
	if value == nil || isNull(value) {
		return nil, true
	}
	if !isString(value) {
		return nil, false
	}
	inner := value[1 : len(value)-1]
	if !hasEscape(inner) {
		return inner, true
	}
	from := len(d.scratch)
	d.scratch = appendUnescaped(d.scratch, inner)
	return d.scratch[from:len(d.scratch):len(d.scratch)], true
}

package pusher

import "bytes"

// Subscribe is the data of pusher:subscribe. Its slices are borrowed like those of
// a Message, until the next call of the Decoder.
type Subscribe struct {
	// Channel is not yet checked, and "" when the subscribe says so: a bad name,
	// whose refusal names the channel, unlike a name that is absent.
	Channel []byte
	// Auth is "KEY:HEX"; empty when absent.
	Auth []byte
	// ChannelData is the text that is signed and then read by ParseChannelData: of a
	// JSON string its text, of any other value its JSON text.
	ChannelData []byte
	// HasChannelData is false when channel_data is absent, null or "".
	HasChannelData bool
	// Recover is the recover member as it stands, for Decoder.Recover; nil when it is
	// absent or null.
	Recover []byte
	// Rewind is the same for ParseRewind.
	Rewind []byte
}

// Signin is the data of pusher:signin. Its slices are borrowed like those of a
// Message, until the next call of the Decoder.
type Signin struct {
	Auth     []byte // "KEY:HEX"; empty when absent
	UserData []byte // as Subscribe.ChannelData; never nil
}

// Subscribe reads the data of a subscribe: an object, or a JSON string that holds
// one. ErrMalformed: it is neither, or names no channel.
func (d *Decoder) Subscribe(data []byte, s *Subscribe) error {
	*s = Subscribe{}
	var channel, auth, channelData []byte
	o := d.openData(data)
	for o.next() {
		switch {
		case o.named("channel"):
			channel = o.value
		case o.named("auth"):
			auth = o.value
		case o.named("channel_data"):
			channelData = o.value
		case o.named("recover") && !isNull(o.value):
			s.Recover = o.value
		case o.named("rewind") && !isNull(o.value):
			s.Rewind = o.value
		}
	}
	if !o.ok() {
		return ErrMalformed
	}
	var okChannel, okAuth bool
	s.Channel, okChannel = d.text(channel)
	s.Auth, okAuth = d.text(auth)
	if !okChannel || !okAuth || s.Channel == nil {
		return ErrMalformed
	}
	s.ChannelData = d.signedText(channelData)
	s.HasChannelData = len(s.ChannelData) > 0
	return nil
}

// Unsubscribe reads the channel out of the data of an unsubscribe. It is borrowed
// like Subscribe.Channel. ErrMalformed: there is none.
func (d *Decoder) Unsubscribe(data []byte) (channel []byte, err error) {
	var value []byte
	o := d.openData(data)
	for o.next() {
		if o.named("channel") {
			value = o.value
		}
	}
	if !o.ok() {
		return nil, ErrMalformed
	}
	channel, ok := d.text(value)
	if !ok || len(channel) == 0 {
		return nil, ErrMalformed
	}
	return channel, nil
}

// Signin reads the data of a sign-in. ErrMalformed: it is no object, or has no
// user_data.
func (d *Decoder) Signin(data []byte, s *Signin) error {
	*s = Signin{}
	var auth, userData []byte
	o := d.openData(data)
	for o.next() {
		switch {
		case o.named("auth"):
			auth = o.value
		case o.named("user_data"):
			userData = o.value
		}
	}
	if !o.ok() {
		return ErrMalformed
	}
	var ok bool
	if s.Auth, ok = d.text(auth); !ok {
		return ErrMalformed
	}
	if s.UserData = d.signedText(userData); s.UserData == nil {
		return ErrMalformed
	}
	return nil
}

// openData opens the object that data is, or holds as a string.
func (d *Decoder) openData(data []byte) object {
	d.scratch = d.scratch[:d.kept]
	if text, ok := d.text(data); ok {
		return openObject(text)
	}
	return openObject(data)
}

// signedText is the text that a signature covers: a string's text; anything else
// stands for itself. nil when absent or null.
func (d *Decoder) signedText(value []byte) []byte {
	if text, ok := d.text(value); ok {
		return text
	}
	return value
}

func hasEscape(inner []byte) bool { return bytes.IndexByte(inner, '\\') >= 0 }

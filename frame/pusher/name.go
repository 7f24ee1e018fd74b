package pusher

import (
	"fmt"
	"unicode/utf8"
)

// ValidChannel checks length and characters of a channel's name: letters, digits
// and any of -_=@,.; at most max bytes of them. The error is ErrChannelName with a
// sentence for the client. Names that begin with # are ServerToUserID's affair and
// are refused here.
func ValidChannel(name string, max int) error {
	if name == "" {
		return fmt.Errorf("%w is empty", ErrChannelName)
	}
	if len(name) > max {
		return fmt.Errorf("%w is %d bytes, limit %d (limits.channel_name_bytes)", ErrChannelName, len(name), max)
	}
	for i := 0; i < len(name); i++ {
		if !channelByte[name[i]] {
			return fmt.Errorf("%w must be letters, digits and any of -_=@,.;", ErrChannelName)
		}
	}
	return nil
}

var channelByte = func() (set [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=@,.;") {
		set[c] = true
	}
	return set
}()

// ServerToUserID takes the user id out of the name of a ServerToUser channel. ok
// is false for any other name, and when the id is empty.
func ServerToUserID(channel string) (id string, ok bool) {
	if len(channel) <= len(serverToUserPrefix) || channel[:len(serverToUserPrefix)] != serverToUserPrefix {
		return "", false
	}
	return channel[len(serverToUserPrefix):], true
}

// ValidEventName tells whether an event may have the name: valid UTF-8, not empty,
// no control characters. Backslashes, dots and blanks are common in the names of
// application frameworks. Its length is the caller's to check.
func ValidEventName(name string) bool {
	for i := 0; i < len(name); i++ {
		if name[i] < 0x20 || name[i] == 0x7f {
			return false
		}
	}
	return name != "" && utf8.ValidString(name)
}

// ValidSocketID tells whether s has the form of a socket id: ^\d+\.\d+$. It need
// not be one of ours.
func ValidSocketID(s string) bool {
	i := digits(s, 0)
	if i == 0 || i == len(s) || s[i] != '.' {
		return false
	}
	end := digits(s, i+1)
	return end > i+1 && end == len(s)
}

// digits returns the index behind the decimal digits that begin at i.
func digits(s string, i int) int {
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	return i
}

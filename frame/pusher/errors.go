package pusher

import "errors"

var (
	// ErrMalformed is returned for a message that is not JSON, or lacks what every
	// message of its kind has.
	ErrMalformed = errors.New("pusher: malformed message")

	// ErrChannelName begins the sentence that refuses a channel's name.
	ErrChannelName = errors.New("channel name")

	// ErrChannelData begins the sentence that refuses channel_data.
	ErrChannelData = errors.New("channel_data")

	// ErrUserData begins the sentence that refuses user_data.
	ErrUserData = errors.New("user_data")
)

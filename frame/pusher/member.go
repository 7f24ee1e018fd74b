package pusher

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Member is one user on a presence channel. It holds copies and may be stored.
type Member struct {
	UserID string // never empty
	Info   []byte // user_info as compact JSON; nil when absent. Immutable
}

// User is who a connection signed in as. It holds copies and may be stored.
type User struct {
	ID   string // never empty
	Info []byte // user_info as compact JSON; nil when absent. Immutable
	// Watchlist is whose coming and going the user wants to hear of.
	Watchlist []string
	// WatchlistCut tells that the watchlist was longer and only its first are kept.
	WatchlistCut bool
}

// ParseChannelData reads channel_data of a presence channel. user_id is a string,
// or a whole number, which is the same as the string of its digits: some backends
// sign numbers. A duplicate name at any level, or bad UTF-8, is refused: two
// readers of the text could disagree on who the user is.
//
// The error is ErrChannelData with a sentence for the client. maxUserID and
// maxBytes bound the id and the whole text, in bytes.
func ParseChannelData(b []byte, maxUserID, maxBytes int) (Member, error) {
	var text struct {
		UserID jsontext.Value `json:"user_id"`
		Info   jsontext.Value `json:"user_info"`
	}
	if err := parseSigned(b, maxBytes, &text, ErrChannelData); err != nil {
		return Member{}, err
	}
	if text.UserID == nil {
		return Member{}, fmt.Errorf("%w has no user_id", ErrChannelData)
	}
	id, ok := wholeNumber(text.UserID)
	if !ok {
		if id, ok = stringOf(text.UserID); !ok {
			return Member{}, fmt.Errorf("%w: user_id must be a string or a whole number", ErrChannelData)
		}
	}
	if err := checkUserID(id, maxUserID); err != nil {
		return Member{}, fmt.Errorf("%w: user_id %w", ErrChannelData, err)
	}
	info, err := compactInfo(text.Info)
	if err != nil {
		return Member{}, fmt.Errorf("%w: %w", ErrChannelData, err)
	}
	return Member{UserID: id, Info: info}, nil
}

// ParseUserData reads user_data of a sign-in: id, a JSON string that is not empty,
// user_info, and the watchlist, of which the first maxWatch users are kept.
// Duplicate names and bad UTF-8 are refused, as by ParseChannelData.
//
// The error is ErrUserData with a sentence for the client.
func ParseUserData(b []byte, maxUserID, maxBytes, maxWatch int) (User, error) {
	var text struct {
		ID        jsontext.Value `json:"id"`
		Info      jsontext.Value `json:"user_info"`
		Watchlist jsontext.Value `json:"watchlist"`
	}
	if err := parseSigned(b, maxBytes, &text, ErrUserData); err != nil {
		return User{}, err
	}
	id, ok := stringOf(text.ID)
	if !ok {
		return User{}, fmt.Errorf("%w: id must be a string", ErrUserData)
	}
	if err := checkUserID(id, maxUserID); err != nil {
		return User{}, fmt.Errorf("%w: id %w", ErrUserData, err)
	}
	user := User{ID: id}
	var err error
	if user.Info, err = compactInfo(text.Info); err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrUserData, err)
	}
	if text.Watchlist == nil || text.Watchlist.Kind() == 'n' {
		return user, nil
	}
	var watch []jsontext.Value
	if json.Unmarshal(text.Watchlist, &watch) != nil {
		return User{}, fmt.Errorf("%w: watchlist must be an array of user ids", ErrUserData)
	}
	if user.WatchlistCut = len(watch) > maxWatch; user.WatchlistCut {
		watch = watch[:maxWatch]
	}
	user.Watchlist = make([]string, 0, len(watch))
	for _, value := range watch {
		id, ok := stringOf(value)
		if !ok {
			return User{}, fmt.Errorf("%w: watchlist must be an array of user ids", ErrUserData)
		}
		if err := checkUserID(id, maxUserID); err != nil {
			return User{}, fmt.Errorf("%w: watchlist: a user id %w", ErrUserData, err)
		}
		user.Watchlist = append(user.Watchlist, id)
	}
	return user, nil
}

// parseSigned reads a signed text into a struct of raw values, which are copies.
func parseSigned(b []byte, maxBytes int, into any, what error) error {
	if len(b) > maxBytes {
		return fmt.Errorf("%w is %d bytes, limit %d (limits.user_info_bytes)", what, len(b), maxBytes)
	}
	if i := skipSpace(b, 0); i == len(b) || b[i] != '{' {
		return fmt.Errorf("%w is not a JSON object", what)
	}
	if end := skipValue(b, skipSpace(b, 0), maxDepth); end < 0 || json.Unmarshal(b, into) != nil {
		return fmt.Errorf("%w is not valid JSON: UTF-8, no name twice, nested at most %d deep", what, maxDepth)
	}
	return nil
}

// checkUserID returns the end of a sentence that begins with what the id is.
func checkUserID(id string, max int) error {
	if id == "" {
		return errors.New("is empty")
	}
	if len(id) > max {
		return fmt.Errorf("is %d bytes, limit %d (limits.user_id_bytes)", len(id), max)
	}
	return nil
}

// stringOf is the text of a JSON string.
func stringOf(value jsontext.Value) (string, bool) {
	if value.Kind() != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, value)
	return string(text), err == nil
}

// wholeNumber is the digits of a JSON number without fraction and exponent.
func wholeNumber(value jsontext.Value) (string, bool) {
	if value.Kind() != '0' {
		return "", false
	}
	for i, c := range value {
		if c-'0' > 9 && (i > 0 || c != '-') {
			return "", false
		}
	}
	return string(value), true
}

// compactInfo takes the white space out of a user_info; nil stays nil.
func compactInfo(info jsontext.Value) ([]byte, error) {
	if info == nil {
		return nil, nil
	}
	if err := info.Compact(); err != nil {
		return nil, fmt.Errorf("user_info: %w", err)
	}
	return info, nil
}

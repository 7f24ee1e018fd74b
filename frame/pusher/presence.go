package pusher

import "strconv"

// AppendPresenceData appends the member list of a presence channel as JSON text;
// AppendSucceeded makes a data string of it. A member without info stands as null.
func AppendPresenceData(dst []byte, members []Member) []byte {
	dst = append(dst, `{"presence":{"ids":[`...)
	for i := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, members[i].UserID)
	}
	dst = append(dst, `],"hash":{`...)
	for i := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, members[i].UserID)
		dst = append(dst, ':')
		dst = appendInfo(dst, members[i].Info)
	}
	dst = append(dst, `},"count":`...)
	dst = strconv.AppendInt(dst, int64(len(members)), 10)
	return append(dst, `}}`...)
}

func appendInfo(dst, info []byte) []byte {
	if info == nil {
		return append(dst, "null"...)
	}
	return append(dst, info...)
}

// AppendMemberAdded appends the news that a user has come. user_info is left out
// when the user has none.
func AppendMemberAdded(dst []byte, channel string, m Member) []byte {
	dst = appendHead(dst, "pusher_internal:member_added", channel)
	dst, mark := openData(dst)
	dst = append(dst, `{"user_id":`...)
	dst = AppendString(dst, m.UserID)
	if m.Info != nil {
		dst = append(dst, `,"user_info":`...)
		dst = append(dst, m.Info...)
	}
	dst = append(dst, '}')
	return append(closeData(dst, mark), '}')
}

// AppendMemberRemoved appends the news that a user has gone.
func AppendMemberRemoved(dst []byte, channel, userID string) []byte {
	dst = appendHead(dst, "pusher_internal:member_removed", channel)
	dst, mark := openData(dst)
	dst = append(dst, `{"user_id":`...)
	dst = AppendString(dst, userID)
	dst = append(dst, '}')
	return append(closeData(dst, mark), '}')
}

package api

import (
	"strconv"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
)

const (
	maxHistory     = 1000 // events of one page
	defaultHistory = 100
)

// history serves GET /apps/{id}/channels/{name}/history.
func (s *Server) history(req *request) *refusal {
	if r := checkChannel(req.name, req.limits); r != nil {
		return r
	}
	epoch, from, r := readSince(req.param("since"))
	if r != nil {
		return r
	}
	limit, r := readLimit(req.param("limit"))
	if r != nil {
		return r
	}
	page := s.router.History(req.app, req.name, epoch, from, limit)
	if page.Reason == "" && len(page.Events) == 0 && from < page.At.Seq && page.Oldest <= page.At.Seq {
		// There is something, and it could not be had. A page without it would be a hole.
		page.Reason = router.ReasonUnavailable
	}
	if page.Reason != "" {
		return s.gone(req, &page, epoch, from)
	}
	req.ctx.Response.SetBodyRaw(appendHistory(nil, req.name, &page))
	return nil
}

// readSince reads the position after which to begin; "" is the oldest event.
func readSince(text string) (epoch string, from uint64, r *refusal) {
	if text == "" {
		return "", 0, nil
	}
	e, from, ok := pusher.ParsePosition([]byte(text))
	if !ok {
		return "", 0, refuse(400, codeBadRequest, "since "+shown(text)+" must be a position: an epoch, a colon and a sequence number, as in k3f9a7c2:41")
	}
	return string(e), from, nil
}

// readLimit reads how many events to answer at most.
func readLimit(text string) (int, *refusal) {
	if text == "" {
		return defaultHistory, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n < 1 || n > maxHistory {
		return 0, refuse(400, codeBadRequest, "limit "+shown(text)+" must be a number from 1 to 1,000")
	}
	return int(n), nil
}

// appendHistory appends the body of a page. next is null when nothing follows.
func appendHistory(dst []byte, channel string, page *router.HistoryPage) []byte {
	dst = append(dst, `{"channel":`...)
	dst = pusher.AppendString(dst, channel)
	dst = appendPosition(dst, page.At.Epoch, page.At.Seq)
	dst = append(dst, `,"oldest":`...)
	dst = strconv.AppendUint(dst, page.Oldest, 10)
	dst = append(dst, `,"events":[`...)
	last := page.At.Seq
	for i, e := range page.Events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendStored(dst, &e)
		last = e.Seq
	}
	dst = append(dst, `],"next":`...)
	if last >= page.At.Seq {
		return append(dst, "null}"...)
	}
	dst = append(dst, '"')
	dst = pusher.AppendPositionText(dst, page.At.Epoch, last)
	return append(dst, `"}`...)
}

// appendStored appends one event of a page.
func appendStored(dst []byte, e *router.StoredEvent) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, e.Seq, 10)
	dst = append(dst, `,"name":`...)
	dst = pusher.AppendString(dst, e.Name)
	dst = append(dst, `,"data":`...)
	dst = pusher.AppendString(dst, e.Data)
	dst = append(dst, `,"time_ms":`...)
	dst = strconv.AppendInt(dst, e.TimeMS, 10)
	return append(dst, '}')
}

// gone is the 410 of a position from which nobody can go on, with what the reader
// needs to begin anew.
func (s *Server) gone(req *request, page *router.HistoryPage, epoch string, from uint64) *refusal {
	since := shown(string(pusher.AppendPositionText(nil, epoch, from)))
	var text string
	switch page.Reason {
	case router.ReasonOff:
		text = s.withoutHistory(req.name)
	case router.ReasonExpired:
		text = "events after " + since + " are no longer kept: the oldest one has number " + grouped(int64(page.Oldest)) //nolint:gosec // at most 2⁵³
	case router.ReasonEpoch:
		text = "since " + since + " is of another epoch: the channel's order was broken after it"
	case router.ReasonAhead:
		text = "since " + since + " is beyond the channel's last event"
	default:
		text = "the log cannot answer for this channel now"
	}
	r := refuse(410, code(page.Reason), text)
	if page.At.Epoch != "" && !page.At.Broken {
		r.more = appendPosition(nil, page.At.Epoch, page.At.Seq)
		r.more = append(r.more, `,"oldest":`...)
		r.more = strconv.AppendUint(r.more, page.Oldest, 10)
	}
	return r
}

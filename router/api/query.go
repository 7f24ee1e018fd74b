package api

import (
	"strconv"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
)

// channels serves GET /apps/{id}/channels.
func (s *Server) channels(req *request) *refusal {
	prefix := req.param("filter_by_prefix")
	about := "a list with filter_by_prefix=" + shown(prefix)
	if prefix == "" {
		about = "a list without filter_by_prefix"
	}
	want, position, r := queryInfo(req.param("info"), about, attributesOfPrefix(prefix))
	if r != nil {
		return r
	}
	if position {
		return refuse(400, codeBadInfo, "info position: a list cannot have it, ask for one channel")
	}
	rows, err := s.router.ChannelsEverywhere(req.app, prefix, want)
	if err != nil {
		return refuseQuery()
	}
	body := append([]byte(nil), `{"channels":{`...)
	for i, c := range rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = pusher.AppendString(body, c.Name)
		body = append(body, ':')
		body = appendObject(body, want, c.ChannelInfo)
	}
	req.ctx.Response.SetBodyRaw(append(body, "}}"...))
	return nil
}

// channel serves GET /apps/{id}/channels/{name}. A channel without subscribers
// is no error: it is not occupied, and its counts are 0.
func (s *Server) channel(req *request) *refusal {
	if r := checkChannel(req.name, req.limits); r != nil {
		return r
	}
	want, position, r := queryInfo(req.param("info"), "channel "+shown(req.name), attributesOf(pusher.KindOf(req.name)))
	if r != nil {
		return r
	}
	var at router.Position
	if position {
		if at, r = s.position(req); r != nil {
			return r
		}
	}
	info, err := s.router.InfoEverywhere(req.app, req.name, want)
	if err != nil {
		return refuseQuery()
	}
	body := append([]byte(nil), `{"occupied":`...)
	body = strconv.AppendBool(body, info.Occupied)
	if at.Epoch != "" {
		body = appendPosition(body, at.Epoch, at.Seq)
	}
	body = appendAttributes(body, want, info)
	req.ctx.Response.SetBodyRaw(append(body, '}'))
	return nil
}

// refuseQuery is the answer when not all nodes of a cluster answered: half a list, or half
// a count, would look like a whole one.
func refuseQuery() *refusal {
	r := refuse(503, codeBrokerUnavailable, "not all nodes of the cluster can be reached: try again in a second")
	r.retryAfter = retrySoon
	return r
}

// position is where the channel of a query stands. It is zero while nobody could go
// on from it: an event was handed out that the log does not hold.
func (s *Server) position(req *request) (router.Position, *refusal) {
	at, kept, err := s.router.Position(req.app, req.name)
	switch {
	case !kept:
		return at, refuse(400, codeBadInfo, "info position: "+s.withoutHistory(req.name))
	case err != nil:
		r := refuse(503, codeLogUnavailable, "the log cannot tell now where the channel stands: try again in a second")
		r.retryAfter = retrySoon
		return at, r
	case at.Broken:
		return router.Position{}, nil
	default:
		return at, nil
	}
}

// withoutHistory says why a channel has no history.
func (s *Server) withoutHistory(channel string) string {
	if !s.router.Keeps() {
		return "channel " + shown(channel) + " has no history: this server keeps no events; set enabled = true under [replay]"
	}
	return "channel " + shown(channel) + " has no history: the rule under [[history]] that matches it keeps no events"
}

// users serves GET /apps/{id}/channels/{name}/users.
func (s *Server) users(req *request) *refusal {
	if r := checkChannel(req.name, req.limits); r != nil {
		return r
	}
	if pusher.KindOf(req.name)&pusher.Presence == 0 {
		return refuse(400, codeBadChannel, "channel "+shown(req.name)+" has no users: only presence channels do")
	}
	ids, err := s.router.UsersEverywhere(req.app, req.name)
	if err != nil {
		return refuseQuery()
	}
	body := append([]byte(nil), `{"users":[`...)
	for i, id := range ids {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, `{"id":`...)
		body = pusher.AppendString(body, id)
		body = append(body, '}')
	}
	req.ctx.Response.SetBodyRaw(append(body, "]}"...))
	return nil
}

// connections serves GET /apps/{id}/connections.
func (s *Server) connections(req *request) *refusal {
	n, err := s.router.ConnectionsEverywhere(req.app)
	if err != nil {
		return refuseQuery()
	}
	body := append([]byte(nil), `{"connections":`...)
	body = strconv.AppendInt(body, int64(n), 10)
	req.ctx.Response.SetBodyRaw(append(body, '}'))
	return nil
}

// terminate serves POST /apps/{id}/users/{id}/terminate_connections. A user who
// is not there is no error.
func (s *Server) terminate(req *request) *refusal {
	d := s.decoders.Get().(*decoder) //nolint:forcetypeassert // the pool holds nothing else
	r := d.readObject(req.ctx.Request.Body())
	d.release()
	s.decoders.Put(d)
	if r != nil {
		return r
	}
	if s.router.Terminate(req.app, req.name) != nil {
		return refuseQuery()
	}
	req.ctx.Response.SetBodyRaw(bodyEmpty)
	return nil
}

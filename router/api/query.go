package api

import (
	"strconv"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// channels serves GET /apps/{id}/channels.
func (s *Server) channels(req *request) *refusal {
	prefix := req.param("filter_by_prefix")
	about := "a list with filter_by_prefix=" + shown(prefix)
	if prefix == "" {
		about = "a list without filter_by_prefix"
	}
	want, r := queryInfo(req.param("info"), about, attributesOfPrefix(prefix))
	if r != nil {
		return r
	}
	body := append([]byte(nil), `{"channels":{`...)
	for i, c := range s.router.Channels(req.app, prefix, want) {
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
	want, r := queryInfo(req.param("info"), "channel "+shown(req.name), attributesOf(pusher.KindOf(req.name)))
	if r != nil {
		return r
	}
	info := s.router.Info(req.app, req.name, want)
	body := append([]byte(nil), `{"occupied":`...)
	body = strconv.AppendBool(body, info.Occupied)
	body = appendAttributes(body, want, info)
	req.ctx.Response.SetBodyRaw(append(body, '}'))
	return nil
}

// users serves GET /apps/{id}/channels/{name}/users.
func (s *Server) users(req *request) *refusal {
	if r := checkChannel(req.name, req.limits); r != nil {
		return r
	}
	if pusher.KindOf(req.name)&pusher.Presence == 0 {
		return refuse(400, codeBadChannel, "channel "+shown(req.name)+" has no users: only presence channels do")
	}
	body := append([]byte(nil), `{"users":[`...)
	for i, id := range s.router.Users(req.app, req.name) {
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
	body := append([]byte(nil), `{"connections":`...)
	body = strconv.AppendInt(body, int64(s.router.Connections(req.app)), 10)
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
	s.router.Terminate(req.app, req.name)
	req.ctx.Response.SetBodyRaw(bodyEmpty)
	return nil
}

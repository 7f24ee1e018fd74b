package config

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// The variables of Laravel's broadcasting server that are understood here, so
// that an application's .env keeps working. They rank above the file and below
// HOLDFAST_ variables, and an empty one says nothing. All others, such as
// REVERB_SCALING_ENABLED, REVERB_HOST (the client's view of the address) or
// REVERB_APP_PING_INTERVAL, have no counterpart and are ignored.
const (
	reverbHost = "REVERB_SERVER_HOST"
	reverbPort = "REVERB_SERVER_PORT"
)

// alias is one variable that stands for one key.
type alias struct {
	variable string
	key      string
	// convert turns the variable's text into the key's. It returns errUnused
	// when the value that already holds stays; below is that value.
	convert func(text string, below value) (string, error)
}

// errUnused: the alias is well formed and does not change anything.
var errUnused = errors.New("config: alias not used")

var errNotNumber = errors.New("is not a whole number of bytes, seconds or connections")

// aliases is in the order of the keys. REVERB_SERVER_HOST and
// REVERB_SERVER_PORT make one key together and are read by reverbListen.
func aliases() []alias {
	same := func(text string, _ value) (string, error) { return text, nil }
	return []alias{
		{"REVERB_SERVER_PATH", "server.path_prefix", reverbPath},
		{"REVERB_APP_ACTIVITY_TIMEOUT", "server.activity_timeout", withUnit("s")},
		{"REVERB_APP_MAX_MESSAGE_SIZE", "limits.message_bytes", withUnit("B")},
		{"REVERB_MAX_REQUEST_SIZE", "limits.body_bytes", largerBytes},
		{"REVERB_APP_ID", "apps.id", same},
		{"REVERB_APP_KEY", "apps.key", same},
		{"REVERB_APP_SECRET", "apps.secret", same},
		{"REVERB_APP_ALLOWED_ORIGINS", "apps.allowed_origins", reverbOrigins},
		{"REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM", "apps.client_events", reverbClientEvents},
		{"REVERB_APP_MAX_CONNECTIONS", "apps.max_connections", same},
	}
}

// readAliases offers the REVERB_ variables. It runs after the file was read.
func (g *gathering) readAliases(env map[string]string) {
	g.reverbListen(env[reverbHost], env[reverbPort])
	for _, a := range aliases() {
		text := env[a.variable]
		if text == "" || text == "null" { // Laravel reads "null" as nothing
			continue
		}
		k := g.schema.byPath[a.key]
		o := origin{rankAlias, a.variable}
		below, _ := g.best(k, 0)
		converted, err := a.convert(text, below.value)
		if errors.Is(err, errUnused) {
			continue
		}
		if err != nil {
			g.faults.add(o.where(), "correct or unset it", "%s %v", quote(text), err)
			continue
		}
		g.text(k, o, converted)
	}
}

// reverbListen joins host and port; the missing half stays as it is.
func (g *gathering) reverbListen(host, port string) {
	if host == "" && port == "" {
		return
	}
	k := g.schema.byPath["server.listen"]
	below, _ := g.best(k, 0)
	belowHost, belowPort, err := net.SplitHostPort(below.value.text)
	if err != nil || strings.HasPrefix(below.value.text, unixPrefix) {
		belowHost, belowPort, _ = net.SplitHostPort(k.def)
	}
	at := reverbHost + " and " + reverbPort
	switch {
	case host == "":
		host, at = belowHost, reverbPort
	case port == "":
		port, at = belowPort, reverbHost
	}
	g.text(k, origin{rankAlias, at}, net.JoinHostPort(strings.Trim(host, "[]"), port))
}

// withUnit appends the unit that the variable leaves out.
func withUnit(unit string) func(string, value) (string, error) {
	return func(text string, _ value) (string, error) {
		if _, err := strconv.ParseUint(text, 10, 62); err != nil {
			return "", errNotNumber
		}
		return text + unit, nil
	}
}

// largerBytes uses the variable only if it raises the limit: its usual value
// of 10,000 bytes, copied from a default .env, would refuse what holdfast takes.
func largerBytes(text string, below value) (string, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return "", errNotNumber
	}
	if n <= below.num {
		return "", errUnused
	}
	return text + "B", nil
}

// reverbPath accepts "ws", "/ws" and "/ws/".
func reverbPath(text string, _ value) (string, error) {
	trimmed := strings.Trim(text, "/")
	if trimmed == "" {
		return "", nil
	}
	return "/" + trimmed, nil
}

// reverbOrigins adds both schemes to an entry that is a bare host name, since
// Laravel compares host names only.
func reverbOrigins(text string, _ value) (string, error) {
	var origins []string
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		switch {
		case item == "":
		case item == "*" || strings.Contains(item, "://"):
			origins = append(origins, item)
		default:
			origins = append(origins, "https://"+item, "http://"+item)
		}
	}
	return strings.Join(origins, ","), nil
}

// reverbClientEvents: "all" would relay to channels that the sender is not in,
// which no client needs, so it means members; any other word is off, as there.
func reverbClientEvents(text string, _ value) (string, error) {
	switch text {
	case "members", "all":
		return "members", nil
	}
	return "off", nil
}

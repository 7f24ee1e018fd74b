package redisbroker

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by it
	_ "embed"
	"encoding/hex"
)

// The scripts run inside Redis, each as one step that no other command divides.
//
// All that look at a head compare the server's master_replid with the one under which
// the head was written. It is new at every restart and at every promotion of a replica,
// the two moments at which Redis may have lost what it had acknowledged: then the
// channel gets a new epoch, and nobody can claim continuity over the loss.
var (
	//go:embed publish.lua
	publishSource string
	//go:embed head.lua
	headSource string
	//go:embed enter.lua
	enterSource string
	//go:embed leave.lua
	leaveSource string
	//go:embed members.lua
	membersSource string
	//go:embed forget.lua
	forgetSource string
	//go:embed renew.lua
	renewSource string
)

// script is one of them; it is sent as its SHA-1 after the first time.
type script struct{ source, sha string }

func newScript(source string) script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // Redis names scripts by it
	return script{source, hex.EncodeToString(sum[:])}
}

var (
	publishScript = newScript(publishSource)
	headScript    = newScript(headSource)
	enterScript   = newScript(enterSource)
	leaveScript   = newScript(leaveSource)
	membersScript = newScript(membersSource)
	forgetScript  = newScript(forgetSource)
	renewScript   = newScript(renewSource)
)

package main

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// signedTarget is the request target of a signed POST of the Pusher HTTP API: the query in the order of the parameter
// names, which is the order in which they are signed. now is Unix time in seconds.
func signedTarget(path, key, secret string, body []byte, now int64) string {
	sum := md5.Sum(body)
	query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0&body_md5=%s", key, now, hex.EncodeToString(sum[:]))
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "POST\n%s\n%s", path, query)
	return path + "?" + query + "&auth_signature=" + hex.EncodeToString(mac.Sum(nil))
}

// publishRequest is one HTTP request that publishes a message, ready to be written.
// The floor takes the text itself; a Pusher server a signed POST to /apps/{id}/events.
func publishRequest(t target, host string, m messageShape, number int, now int64) []byte {
	if !t.pusher {
		text := m.appendText(nil, number)
		return fmt.Appendf(nil, "POST /publish HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", host, len(text), text)
	}
	durable := ""
	if m.durable {
		durable = `,"durable":true`
	}
	channels := m.channelName()
	if len(m.more) > 0 {
		channels += `","` + strings.Join(m.more, `","`)
	}
	body := fmt.Appendf(nil, `{"name":"%s","channels":["%s"],"data":"%s"%s}`, benchEvent, channels, m.appendData(nil, number), durable)
	at := signedTarget("/apps/"+appID+"/events", appKey, appSecret, body, now)
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", at, host, len(body), body)
}

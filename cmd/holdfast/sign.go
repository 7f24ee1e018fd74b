package main

import (
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
	"github.com/holdfast-edge/holdfast/router/auth"
)

// signRequest is the query string that signs an HTTP API request.
func signRequest(app config.App, method, path string, body []byte, now time.Time) string {
	return credentials(app).SignRequest(auth.Request{Method: method, Path: path, Body: body}, now)
}

// signSubscription is the auth of a subscribe message.
func signSubscription(app config.App, socketID, channel, channelData string) string {
	return credentials(app).SignSubscription(socketID, channel, channelData, channelData != "")
}

func credentials(app config.App) *auth.Credentials {
	return auth.NewCredentials(app.Key, app.Secret.Reveal())
}

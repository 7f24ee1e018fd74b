package config

import (
	"fmt"
	"strings"
)

// maxSecretFileBytes bounds secret_file and token_file: a path to something
// else is found out before it is read.
const maxSecretFileBytes = 4 << 10

// readSecrets replaces file names by what the files hold. With lenient, a file
// that cannot be read leaves the secret empty.
func (c *Config) readSecrets(faults *Faults, lenient bool) {
	for i := range c.Apps {
		app := &c.Apps[i]
		if app.SecretFile == "" {
			continue
		}
		secret, err := readSecret(app.SecretFile)
		if err != nil && !lenient {
			faults.add(c.where(fmt.Sprintf("apps[%d].secret_file", i)), "make it a readable file with the secret on its only line",
				"apps.secret_file of app %s: %v", quote(app.ID), err)
		}
		app.Secret = secret
	}
	c.readRedisSecrets(faults, lenient)
	if c.Admin.TokenFile == "" {
		return
	}
	if c.AdminToken != "" {
		faults.add("env "+envAdminToken, "unset one of them", "admin.token_file is set too, by %s", c.where("admin.token_file"))
		return
	}
	token, err := readSecret(c.Admin.TokenFile)
	if err != nil && !lenient {
		faults.add(c.where("admin.token_file"), "make it a readable file with the token on its only line", "admin.token_file: %v", err)
	}
	c.AdminToken = token
}

// readSecret is a file's only line, without the line's end.
func readSecret(name string) (Secret, error) {
	data, err := readBounded(name, maxSecretFileBytes)
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case text == "":
		return "", fmt.Errorf("%s is empty", name)
	case strings.ContainsAny(text, "\r\n"):
		return "", fmt.Errorf("%s has more than one line", name)
	}
	return Secret(text), nil
}

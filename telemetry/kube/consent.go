// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// ConfigMapConsent returns what [telemetry.Consent] takes as Cluster: it reads the setting
// that the cluster's administrator keeps under the key of a ConfigMap, in the words of
// [telemetry.ParseDecision]. Without the ConfigMap, or without the key, nothing is
// decided. The program needs the right to get that ConfigMap; while it may not, or the
// setting has another form, that is an error, and the last decision stays.
func ConfigMapConsent(c *Client, namespace, name, key string) func(context.Context) (telemetry.Decision, error) {
	return func(ctx context.Context) (telemetry.Decision, error) {
		setting, err := c.configMap(ctx, namespace, name, key)
		if errors.Is(err, fs.ErrNotExist) {
			return telemetry.Decision{}, nil
		} else if err != nil {
			return telemetry.Decision{}, err
		}
		return telemetry.ParseDecision(setting)
	}
}

// ConsoleConsent returns what [telemetry.Consent] takes as Console: on OpenShift the
// decision of its web console, which reports usage itself, and elsewhere none. A console
// without configuration does not report. The program needs the right to get ConfigMap
// console-config in namespace openshift-console; while it may not, or does not understand
// it, that is an error, and the last decision stays.
func ConsoleConsent(c *Client) func(context.Context) (telemetry.Decision, error) {
	return func(ctx context.Context) (telemetry.Decision, error) {
		served, err := c.discover(ctx)
		if err != nil || !served.serves("config.openshift.io") {
			return telemetry.Decision{}, err
		}
		text, err := c.configMap(ctx, "openshift-console", "console-config", "console-config.yaml")
		if errors.Is(err, fs.ErrNotExist) {
			return telemetry.Decision{Choice: telemetry.Off}, nil
		}
		var settings map[string]string
		if err == nil {
			settings, err = consoleSettings(text)
		}
		switch {
		case err != nil:
			return telemetry.Decision{}, err
		case ConsoleReports(settings):
			return telemetry.Decision{Choice: telemetry.On}, nil
		default:
			return telemetry.Decision{Choice: telemetry.Off}, nil
		}
	}
}

// ConsoleReports says whether OpenShift's console with these telemetry settings reports
// its usage: it has a key to report under, nothing disables it, and people need not agree
// first.
func ConsoleReports(settings map[string]string) bool {
	for _, key := range []string{"DISABLED", "DEVSANDBOX_DISABLED", "TELEMETER_CLIENT_DISABLED"} {
		if settings[key] == "true" {
			return false
		}
	}
	switch settings["STATE"] {
	case "", "OPT-OUT", "ENFORCE":
		return settings["SEGMENT_API_KEY"] != "" || settings["SEGMENT_PUBLIC_API_KEY"] != "" ||
			settings["DEVSANDBOX"] == "true" && settings["DEVSANDBOX_SEGMENT_API_KEY"] != ""
	default: // DISABLED; OPT-IN, for nobody is asked here; or a state not known to mean yes
		return false
	}
}

// configMap returns the value of a key. The error is [fs.ErrNotExist] without the
// ConfigMap, and without the key.
func (c *Client) configMap(ctx context.Context, namespace, name, key string) (string, error) {
	var object struct {
		Data map[string]string `json:"data"`
	}
	err := c.Get(ctx, "/api/v1/namespaces/"+url.PathEscape(namespace)+"/configmaps/"+url.PathEscape(name), &object)
	if err != nil {
		return "", err
	}
	value, found := object.Data[key]
	if !found {
		return "", fs.ErrNotExist
	}
	return value, nil
}

var errConsole = errors.New("read the console's configuration: its telemetry is written in a way that is not understood")

// consoleSettings reads the map "telemetry" of the console's configuration, as the
// console's operator writes it: one line for each setting, a word or a quoted text. Any
// other YAML is an error, which repeats nothing of it.
func consoleSettings(text string) (map[string]string, error) {
	settings, inside, seen, indent := map[string]string{}, false, false, 0
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(line, " \r")
		content := strings.TrimLeft(line, " ")
		depth := len(line) - len(content)
		switch {
		case content == "" || content[0] == '#':
			continue
		case depth == 0:
			if inside = strings.HasPrefix(content, "telemetry:"); !inside {
				if strings.ContainsAny(content[:1], "-{[\"'&*!|>%@`\t?") {
					return nil, errConsole
				}
				continue
			}
			rest := strings.TrimSpace(strings.TrimPrefix(content, "telemetry:"))
			if seen || rest != "" && rest != "{}" && rest != "null" {
				return nil, errConsole
			}
			seen, inside, indent = true, rest == "", 0
			continue
		case !inside:
			continue
		}
		if indent == 0 {
			indent = depth
		}
		key, value, found := strings.Cut(content, ":")
		value, plain := scalar(value)
		if _, twice := settings[key]; !found || !plain || twice || depth != indent || !isSettingName(key) {
			return nil, errConsole
		}
		settings[key] = value
	}
	return settings, nil
}

func isSettingName(key string) bool {
	return key != "" && strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// scalar reads what stands behind a colon, or returns false when it is more than one word
// or one quoted text on this line.
func scalar(text string) (string, bool) {
	if text != "" && text[0] != ' ' {
		return "", false
	}
	switch text = strings.TrimSpace(text); {
	case text == "":
		return "", true
	case text[0] == '"':
		var value string
		err := json.Unmarshal([]byte(text), &value)
		return value, err == nil
	case text[0] == '\'':
		inner := strings.TrimSuffix(text[1:], "'")
		value := strings.ReplaceAll(inner, "''", "'")
		return value, len(text) > 1 && len(inner) == len(text)-2 && !strings.Contains(strings.ReplaceAll(inner, "''", ""), "'")
	default:
		switch strings.ToLower(text) {
		case "null", "~":
			return "", true
		case "true", "yes", "on", "y":
			return "true", true
		case "false", "no", "off", "n":
			return "false", true
		}
		word := strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./") == ""
		return text, word && text[0] != '-'
	}
}

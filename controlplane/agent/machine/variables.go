// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// Variables are what a machine's two files say, as variables of the agent's
// environment; those of cluster.env go over those of mesh.yaml. The proxy's
// configuration is PROXY_CONFIG.
func Variables(clusterEnv, mesh []byte) (map[string]string, error) {
	var config struct {
		DefaultConfig map[string]any `json:"defaultConfig"`
	}
	if err := yaml.Unmarshal(mesh, &config); err != nil {
		return nil, fmt.Errorf("mesh.yaml: %w", err)
	}
	out := map[string]string{}
	metadata, _ := config.DefaultConfig["proxyMetadata"].(map[string]any)
	for name, value := range metadata {
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("mesh.yaml: defaultConfig.proxyMetadata[%s] is no text: put it in quotes", name)
		}
		out[name] = text
	}
	if config.DefaultConfig != nil {
		text, err := yaml.Marshal(config.DefaultConfig)
		if err == nil {
			text, err = yaml.YAMLToJSON(text)
		}
		if err != nil {
			return nil, fmt.Errorf("mesh.yaml: %w", err)
		}
		out["PROXY_CONFIG"] = string(text)
	}
	for n, line := range strings.Split(string(clusterEnv), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, word, ok := strings.Cut(line, "=")
		value, whole := unquote(word)
		if !ok || !whole || !isName(name) {
			return nil, fmt.Errorf("cluster.env, line %d: not a variable such as NAME='value'", n+1)
		}
		out[name] = value
	}
	return out, nil
}

// isName of a variable, as shells take it.
func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// safe are the characters of words that need no quotes.
const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_-+=:,./"

// quote a text for a shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, safe) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

// unquote a shell's word of plain and quoted parts. What only a shell could
// expand is none.
func unquote(word string) (string, bool) {
	var out strings.Builder
	for word != "" {
		c := word[0]
		switch {
		case c == '\'' || c == '"':
			part, rest, closed := strings.Cut(word[1:], string(c))
			if !closed || c == '"' && strings.ContainsAny(part, "\\$`") {
				return "", false
			}
			out.WriteString(part)
			word = rest
		case strings.IndexByte("\\$`;&|<>()#*?[]{}~! \t", c) >= 0 && (c != '*' || len(word) != 1 || out.Len() != 0):
			return "", false
		default:
			out.WriteByte(c)
			word = word[1:]
		}
	}
	return out.String(), true
}

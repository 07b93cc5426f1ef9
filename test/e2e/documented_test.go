// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// documented are the commands of a section of docs/joining.md, block by block, with the
// cluster's name for that of the page's member.
func documented(t *testing.T, section string, blocks int) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/joining.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var out []string
	for {
		_, rest, more := strings.Cut(text, "```sh\n")
		if !more {
			break
		}
		var block string
		block, text, _ = strings.Cut(rest, "```")
		out = append(out, strings.ReplaceAll(block, "west", "solo"))
	}
	if !found || len(out) != blocks {
		t.Fatalf("docs/joining.md has %d blocks of commands under %q, want %d", len(out), section, blocks)
	}
	return out
}

// typed runs commands as they can be typed in the checkout, for the cluster solo.
func typed(t *testing.T, commands string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	setting := "export KUBECONFIG='" + kubeconfig("solo") + "' PATH='" + filepath.Join(root, ".lab/bin") + "':\"$PATH\"\n"
	out, err := run(ctx, setting+commands, "bash", "-euo", "pipefail")
	if err != nil {
		t.Fatalf("%s%v", commands, err)
	}
	return out
}

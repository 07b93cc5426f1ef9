// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// libraryDirs are where distributions put their shared libraries.
var libraryDirs = []string{"/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// libraries returns the dynamic linker and the shared libraries that a program
// needs, with those that they need themselves, at the paths they have here.
func libraries(program string) ([]File, error) {
	needed, interpreter, err := dependencies(program)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	if interpreter != "" {
		found[filepath.Base(interpreter)] = interpreter
	}
	for len(needed) > 0 {
		name := needed[0]
		needed = needed[1:]
		if found[name] != "" {
			continue
		}
		if found[name], err = findLibrary(name); err != nil {
			return nil, fmt.Errorf("%s: %w", program, err)
		}
		more, _, err := dependencies(found[name])
		if err != nil {
			return nil, err
		}
		needed = append(needed, more...)
	}
	files := make([]File, 0, len(found))
	for _, path := range found {
		files = append(files, File{Path: path, Mode: 0o755, Source: path})
	}
	slices.SortFunc(files, func(a, b File) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
	return files, nil
}

func dependencies(path string) (needed []string, interpreter string, err error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = file.Close() }()
	if needed, err = file.ImportedLibraries(); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		text := make([]byte, segment.Filesz)
		if _, err := segment.ReadAt(text, 0); err != nil {
			return nil, "", fmt.Errorf("%s: interpreter: %w", path, err)
		}
		interpreter = string(bytes.TrimRight(text, "\x00"))
	}
	return needed, interpreter, nil
}

func findLibrary(name string) (string, error) {
	for _, dir := range libraryDirs {
		path := filepath.Join(dir, name)
		switch _, err := os.Stat(path); {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	return "", fmt.Errorf("no library %s on this machine", name)
}

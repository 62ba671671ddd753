package main

import (
	"fmt"
	"os"
	"strings"
)

// The sections of docs/benchmarks.md that this program writes.
const (
	benchSection = "bench"
	addSection   = "add"
)

// newDocument is what the file is before the first run.
const newDocument = "# Benchmarks\n\nWhat is between the markers is written by `make bench`.\n"

// replaceSection returns doc with text between the markers of a section. A document without them gets them at its end.
func replaceSection(doc, section, text string) (string, error) {
	begin, end := "<!-- "+section+":begin -->", "<!-- "+section+":end -->"
	marked := begin + "\n" + strings.TrimRight(text, "\n") + "\n" + end
	before, rest, found := strings.Cut(doc, begin)
	if !found {
		return strings.TrimRight(doc, "\n") + "\n\n" + marked + "\n", nil
	}
	_, after, found := strings.Cut(rest, end)
	if !found {
		return "", fmt.Errorf("there is %s, but no %s after it", begin, end)
	}
	return before + marked + after, nil
}

// writeSection replaces a section of a file; the file need not exist.
func writeSection(path, section, text string) error {
	doc, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		doc, err = []byte(newDocument), nil
	}
	if err != nil {
		return err
	}
	changed, err := replaceSection(string(doc), section, text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(changed), 0o644)
}

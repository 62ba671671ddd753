package main

import (
	"os"
	"path/filepath"
	"testing"
)

// "a section between markers, so that other sections survive"
func TestReplaceSection(t *testing.T) {
	for _, c := range []struct{ name, doc, want, err string }{
		{"replaced", "# T\n<!-- bench:begin -->\nold\n<!-- bench:end -->\ntail\n", "# T\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\ntail\n", ""},
		{"another section stays", "<!-- add:begin -->\nx\n<!-- add:end -->\n", "<!-- add:begin -->\nx\n<!-- add:end -->\n\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\n", ""},
		{"no markers", "# T\n\n\n", "# T\n\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\n", ""},
		{"no end", "<!-- bench:begin -->\nprecious\n", "", "no <!-- bench:end -->"},
	} {
		got, err := replaceSection(c.doc, benchSection, "new\n\n")
		checkError(t, c.name, err, c.err)
		if got != c.want {
			t.Errorf("%s: replaceSection = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWriteSectionTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	for _, section := range []string{benchSection, addSection, benchSection} {
		if err := writeSection(path, section, "of "+section); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := newDocument + "\n<!-- bench:begin -->\nof bench\n<!-- bench:end -->\n\n<!-- add:begin -->\nof add\n<!-- add:end -->\n"
	if string(got) != want {
		t.Errorf("document = %q, want %q", got, want)
	}
}

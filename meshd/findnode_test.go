package main

import (
	"strings"
	"testing"

	"meshnet/ipam/registry"
)

// "HOST is its name or identity", of which the beginning that tables show is enough; who was removed counts for its name no more.
func TestFindNode(t *testing.T) {
	one, two, gone := registry.NodeID{1, 2, 3, 4, 5, 6}, registry.NodeID{1, 2, 3, 4, 5, 7}, registry.NodeID{9}
	s := registry.State{Nodes: map[registry.NodeID]registry.Node{
		one: {Name: "b"}, two: {Name: "c"}, gone: {Name: "b", Removed: true}, {8}: {Name: "twin"}, {7}: {Name: "twin"},
	}}
	for _, tt := range []struct {
		which string
		want  registry.NodeID
		says  string
	}{
		{"b", one, ""},
		{"c", two, ""},
		{one.String(), one, ""},
		{"010203040506", one, ""},
		{gone.String()[:minPrefix], gone, ""},
		{"0102030405", registry.NodeID{}, "2 hosts"},
		{"twin", registry.NodeID{}, "0700000000, 0800000000"},
		{"01020304", registry.NodeID{}, "knows no host"},
		{"nope", registry.NodeID{}, "knows no host"},
	} {
		got, err := findNode(s, tt.which)
		if got != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("findNode(%q) = %s, %v, want %s and an error with %q", tt.which, got.Short(), err, tt.want.Short(), tt.says)
		}
	}
}

package main

import (
	"testing"

	"meshnet/meshd/api"
	"meshnet/meshd/node"
)

// "Sources of leases, as the API calls them": neither of the two packages may import the other.
func TestSources(t *testing.T) {
	for of, called := range map[string]api.Source{
		node.SourceCNI: api.SourceCNI, node.SourceCNIIPAM: api.SourceCNIIPAM, node.SourceDHCP: api.SourceDHCP, node.SourceHost: api.SourceHost,
	} {
		if of != string(called) {
			t.Errorf("node says %q, the API %q", of, called)
		}
	}
}

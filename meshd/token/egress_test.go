package token

import "testing"

func TestCheckEgress(t *testing.T) {
	for _, s := range []string{"", "nat", "none"} {
		if err := CheckEgress(s); err != nil {
			t.Errorf("CheckEgress(%q) = %v", s, err)
		}
	}
	for _, s := range []string{"NAT", "yes", "web-1"} {
		if CheckEgress(s) == nil {
			t.Errorf("CheckEgress(%q) = nil, want an error", s)
		}
	}
}

package token

import "testing"

func TestCheckDHCP(t *testing.T) {
	for _, s := range []string{"", "open", "closed", "off"} {
		if err := CheckDHCP(s); err != nil {
			t.Errorf("CheckDHCP(%q) = %v", s, err)
		}
	}
	for _, s := range []string{"on", "Open", " off", "none"} {
		if CheckDHCP(s) == nil {
			t.Errorf("CheckDHCP(%q) = nil, want an error", s)
		}
	}
}

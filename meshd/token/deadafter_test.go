package token

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 72 * time.Hour: "72h", 90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 20 * time.Second: "20s", time.Minute: "1m",
		10 * time.Hour: "10h", 100 * time.Millisecond: "100ms",
	} {
		b, err := json.Marshal(Duration(d))
		if err != nil || string(b) != `"`+want+`"` {
			t.Errorf("Marshal(%v) = %s, %v, want %q", d, b, err, want)
		}
		var back Duration
		if err := json.Unmarshal(b, &back); err != nil || time.Duration(back) != d {
			t.Errorf("Unmarshal(%s) = %v, %v, want %v", b, back, err, d)
		}
	}
	var d Duration
	if err := json.Unmarshal([]byte(`"3 days"`), &d); err == nil || !strings.Contains(err.Error(), "72h") {
		t.Errorf("Unmarshal(3 days) = %v, want an error that shows a duration", err)
	}
}

func TestCheckDeadAfter(t *testing.T) {
	for d, ok := range map[time.Duration]bool{
		0: true, MinDeadAfter: true, 72 * time.Hour: true, MaxDeadAfter: true,
		MinDeadAfter - 1: false, -time.Hour: false, MaxDeadAfter + 1: false,
	} {
		if err := CheckDeadAfter(Duration(d)); (err == nil) != ok {
			t.Errorf("CheckDeadAfter(%v) = %v, want valid %v", d, err, ok)
		}
	}
}

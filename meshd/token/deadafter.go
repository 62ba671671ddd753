package token

import (
	"fmt"
	"time"
)

// A host tells the registry every five minutes that it is alive, and time counts there in steps of up to ten. A year is for those who
// want no host to be removed but by hand.
const (
	MinDeadAfter = 15 * time.Minute
	MaxDeadAfter = 366 * 24 * time.Hour
)

// Duration is a time.Duration that is text in JSON, as time.ParseDuration reads it; zero stands for a default.
type Duration time.Duration

// String returns d as time.Duration does, without a tail of zeros: "72h", "1h30m".
func (d Duration) String() string {
	text := time.Duration(d).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if n := len(text) - len(zero); n > 0 && text[n:] == zero {
			text = text[:n+1]
		}
	}
	return text
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%.40q is not a duration, such as 72h or 90m", text)
	}
	*d = Duration(parsed)
	return nil
}

// CheckDeadAfter says whether a registry may remove hosts that have been silent for d; zero is the default.
func CheckDeadAfter(d Duration) error {
	if d != 0 && (time.Duration(d) < MinDeadAfter || time.Duration(d) > MaxDeadAfter) {
		return fmt.Errorf("%v is not between %v and %v", d, Duration(MinDeadAfter), Duration(MaxDeadAfter))
	}
	return nil
}

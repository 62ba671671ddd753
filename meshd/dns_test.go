package main

import (
	"testing"
	"testing/synctest"
	"time"

	"meshnet/meshd/zone"
)

// "Answers change within a second": a zone is answered from for a fifth of that; longer where making it takes long.
func TestZoneCache(t *testing.T) {
	for _, test := range []struct{ takes, age time.Duration }{{0, zoneAge}, {10 * time.Millisecond, zoneAge}, {50 * time.Millisecond, 500 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			made := 0
			c := zoneCache{make: func() *zone.Zone {
				made++
				time.Sleep(test.takes)
				return new(zone.Zone)
			}}
			first := c.get(time.Now())
			time.Sleep(test.age)
			if c.get(time.Now()) != first || made != 1 {
				t.Errorf("a zone that took %v is made again within %v", test.takes, test.age)
			}
			time.Sleep(time.Millisecond)
			if c.get(time.Now()) == first || made != 2 {
				t.Errorf("a zone that took %v is not made again after %v", test.takes, test.age)
			}
		})
	}
}

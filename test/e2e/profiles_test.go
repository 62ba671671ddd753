package e2e

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"meshnet/test/e2e/lab"
)

// A daemon's profiles are for root, over the socket on which others may ask for its status.
//
//	a: alone
func TestProfiles(t *testing.T) {
	l := newLab(t)
	a := l.Hosts("a")[0]
	a.StartMeshd()
	a.Output("chmod", "0666", lab.Socket)
	root, nobody := a.API(), a.APIAs(65534)
	for path, others := range map[string]int{
		"/v1/status":                     http.StatusOK,
		"/debug/pprof/heap":              http.StatusForbidden,
		"/debug/pprof/profile?seconds=1": http.StatusForbidden,
	} {
		if code, body := get(t, root, path); code != http.StatusOK || strings.HasPrefix(path, "/debug") && !bytes.HasPrefix(body, gzipMagic) {
			t.Errorf("root gets %d for %s, and %.100q; want 200 and a profile", code, path, body)
		}
		if code, body := get(t, nobody, path); code != others || bytes.HasPrefix(body, gzipMagic) {
			t.Errorf("another user gets %d for %s, and %.100q; want %d", code, path, body, others)
		}
	}
}

// gzipMagic begins a profile (RFC 1952, section 2.3.1).
var gzipMagic = []byte{0x1f, 0x8b}

func get(t *testing.T, c *http.Client, path string) (code int, body []byte) {
	t.Helper()
	resp, err := c.Get("http://meshd" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"meshnet/meshd/token"
)

// MaxBody is the size of the largest body of a request, in bytes.
const MaxBody = 1 << 20

// checker is a request that can say what is wrong with it.
type checker interface{ check() error }

// decode reads r's body into v and checks it.
func decode(r *http.Request, v checker) error {
	if err := decodeBody(r, v); err != nil {
		return err
	}
	if err := v.check(); err != nil {
		return Errorf(Invalid, "%w", err)
	}
	return nil
}

// readBody reads r's body into memory. A body that announces more than MaxBody bytes is not read at all, and of another no
// more than that. A caller that takes longer than bodyTimeout is cut off; the call itself may take as long as it needs.
func readBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > MaxBody {
		return Errorf(TooLarge, "the body has %d bytes; at most %d are allowed", r.ContentLength, MaxBody)
	}
	// http.Server's ReadTimeout would go on during the call and end its context. That a connection takes deadlines is
	// the Unix socket's nature; on another the body is read without.
	c := http.NewResponseController(w)
	if c.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil {
		defer c.SetReadDeadline(time.Time{})
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return Errorf(Invalid, "reading the body: %w", err)
	}
	if len(body) > MaxBody {
		return Errorf(TooLarge, "the body has more than %d bytes", MaxBody)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// decodeBody reads r's body, which is in memory, into v; see unmarshal.
func decodeBody(r *http.Request, v any) error {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = unmarshal(body, v)
	}
	if err != nil {
		return Errorf(Invalid, "bad body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// unmarshal reads body, one JSON object without a field that v lacks, into v. No body is as good as {}.
func unmarshal(body []byte, v any) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil
	}
	if body[0] != '{' {
		return errors.New("it is not a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("it ends in the middle of the JSON object")
		}
		return err
	}
	if d.InputOffset() != int64(len(body)) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// networkOf returns the name of the network in r's path; "" if the path has none.
func networkOf(r *http.Request) (string, error) {
	name := r.PathValue("name")
	if name == "" {
		return "", nil
	}
	if err := token.CheckName(name); err != nil {
		return "", Errorf(Invalid, "%w", err)
	}
	return name, nil
}

// endpointsOf returns the endpoints in r's query, and refuses any other parameter.
func endpointsOf(r *http.Request) ([]string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Errorf(Invalid, "bad query: %w", err)
	}
	for key := range query {
		if key != "endpoint" {
			return nil, Errorf(Invalid, "unknown parameter %.80q", key)
		}
	}
	endpoints := query["endpoint"]
	if err := token.CheckEndpoints(endpoints); err != nil {
		return nil, Errorf(Invalid, "%w", err)
	}
	return endpoints, nil
}

// whose reads from r's query whose attachment is to be detached, and refuses any other parameter. What it reads is not checked.
func (d *DetachRequest) whose(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Errorf(Invalid, "bad query: %w", err)
	}
	for key, values := range query {
		switch {
		case key != "source" && key != "cni_network" || len(values) != 1:
			return Errorf(Invalid, "unknown parameter %.80q, or given %d times", key, len(values))
		case values[0] == "":
			return Errorf(Invalid, "%s is empty", key)
		}
	}
	d.Source, d.CNINetwork = Source(query.Get("source")), query.Get("cni_network")
	return nil
}

// writeJSON answers with v. A caller that has gone is nobody's concern.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // a type of this package that cannot be marshalled is a bug
		panic("api: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

package api

import (
	"net/http"
	"net/url"
	"strconv"
)

// ipamRoutes are the paths about addresses and their owners.
func (h *handler) ipamRoutes() map[string]route {
	return map[string]route{
		"/v1/ipam":                         {http.MethodGet: h.ipam},
		"/v1/networks/{name}/ipam":         {http.MethodGet: h.ipam},
		"/v1/networks/{name}/ipam/check":   {http.MethodGet: h.ipamCheck},
		"/v1/networks/{name}/ipam/reserve": {http.MethodPost: h.root(h.reserve), http.MethodDelete: h.root(h.release)},
		"/v1/networks/{name}/ipam/recover": {http.MethodPost: h.root(h.recover)},
		"/v1/networks/{name}/ipam/adopt":   {http.MethodPost: h.root(h.adopt)},
		"/v1/networks/{name}/nodes/{node}": {http.MethodDelete: h.root(h.removeNode)},
	}
}

func (h *handler) ipam(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	l, err := h.backend.IPAM(r.Context(), name)
	return IPAMList{IPAM: filledAll(l)}, err
}

func (h *handler) ipamCheck(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	c, err := h.backend.IPAMCheck(r.Context(), name)
	return c.filled(), err
}

func (h *handler) reserve(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	var req ReserveRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	req.Network = name
	return h.backend.Reserve(r.Context(), req)
}

func (h *handler) release(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	text, err := parameterOf(r, "addresses")
	if err != nil {
		return nil, err
	}
	req := ReleaseRequest{Network: name}
	if err := req.Addresses.UnmarshalText([]byte(text)); err != nil {
		return nil, Errorf(Invalid, "%w", err)
	}
	if err := req.check(); err != nil {
		return nil, Errorf(Invalid, "%w", err)
	}
	done, err := h.backend.Release(r.Context(), req)
	return Released{Released: done}, err
}

func (h *handler) recover(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	done, err := h.backend.Recover(r.Context(), name)
	return done.filled(), err
}

func (h *handler) adopt(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	done, err := h.backend.Adopt(r.Context(), name)
	return done.filled(), err
}

func (h *handler) removeNode(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	req := RemoveNodeRequest{Network: name, Node: r.PathValue("node")}
	if err := req.check(); err != nil {
		return nil, Errorf(Invalid, "%w", err)
	}
	if req.Force, err = forceOf(r); err != nil {
		return nil, err
	}
	return h.backend.RemoveNode(r.Context(), req)
}

// forceOf returns the parameter force of r's query, false if it is not there.
func forceOf(r *http.Request) (bool, error) {
	text, err := parameterOf(r, "force")
	if err != nil || text == "" {
		return false, err
	}
	force, err := strconv.ParseBool(text)
	if err != nil {
		return false, Errorf(Invalid, "force: %.20q is neither true nor false", text)
	}
	return force, nil
}

// parameterOf returns the parameter key of r's query, "" if it is not there, and refuses any other.
func parameterOf(r *http.Request, key string) (string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", Errorf(Invalid, "bad query: %w", err)
	}
	for other, values := range query {
		if other != key {
			return "", Errorf(Invalid, "unknown parameter %.80q", other)
		}
		if len(values) > 1 {
			return "", Errorf(Invalid, "parameter %q is there %d times", key, len(values))
		}
	}
	return query.Get(key), nil
}

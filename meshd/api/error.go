package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// ErrUnreachable says that no meshd answers on the socket.
var ErrUnreachable = errors.New("meshd is not reachable")

// Code says what kind of failure an Error is.
type Code string

// The codes, each with its HTTP status.
const (
	Invalid          Code = "invalid"            // 400: the request is wrong; repeating it does not help
	Forbidden        Code = "forbidden"          // 403: the caller may not do this
	NotFound         Code = "not_found"          // 404: no such network, attachment or path
	MethodNotAllowed Code = "method_not_allowed" // 405
	Conflict         Code = "conflict"           // 409: it contradicts what is there already
	TooLarge         Code = "too_large"          // 413: the body is larger than MaxBody
	Internal         Code = "internal"           // 500: a fault of meshd or its host (disk, kernel)
	Unavailable      Code = "unavailable"        // 503: not now; try again later
)

// Status returns the HTTP status that carries c.
func (c Code) Status() int {
	switch c {
	case Invalid:
		return http.StatusBadRequest
	case Forbidden:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case Conflict:
		return http.StatusConflict
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// codeOf returns the code that an HTTP status stands for.
func codeOf(status int) Code {
	for _, c := range []Code{Invalid, Forbidden, NotFound, MethodNotAllowed, Conflict, TooLarge, Unavailable} {
		if c.Status() == status {
			return c
		}
	}
	return Internal
}

// Error is a failed call, as it travels. A Backend returns one, made by Errorf, to choose the code.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"` // one sentence for people
	cause   error
}

// Errorf returns an *Error with the formatted message. It wraps the operands of %w as fmt.Errorf does.
func Errorf(code Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: err}
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns what Errorf wrapped; nil in an error that a Client returned.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of the *Error in err's chain; without one, Unavailable for the end of a context, and
// Internal for everything else.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	}
	return Internal
}

// errorBody is the body of every answer that is not a success.
type errorBody struct {
	Error *Error `json:"error"`
}

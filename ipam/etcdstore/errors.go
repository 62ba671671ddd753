package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"meshnet/ipam"
)

// storeError is why etcd gave no answer, in a sentence for people. It wraps ipam.ErrNoStore and the cause, if there is one.
type storeError struct {
	text  string
	cause error
	final bool // trying again soon is of no use
}

func (e *storeError) Error() string { return ipam.ErrNoStore.Error() + ": " + e.text }

func (e *storeError) Unwrap() []error {
	if e.cause == nil {
		return []error{ipam.ErrNoStore}
	}
	return []error{ipam.ErrNoStore, e.cause}
}

// explained are etcd's own errors that have a way out of their own.
var explained = []struct {
	err   error
	text  string
	final bool
}{
	{rpctypes.ErrNoSpace, "etcd's database is full (NOSPACE): compact and defragment it, or raise --quota-backend-bytes, " +
		"then run `etcdctl alarm disarm`", true},
	{rpctypes.ErrAuthFailed, "etcd refuses the user name or the password", true},
	{rpctypes.ErrUserEmpty, "etcd wants a user name and a password, and the address has none", true},
	{rpctypes.ErrPermissionDenied, "etcd's user may not read and write below the prefix: grant it a role with readwrite on it", true},
	{rpctypes.ErrRequestTooLarge, "etcd refuses so large a request: raise --max-request-bytes", true},
	{rpctypes.ErrTooManyOps, "etcd refuses so many operations in one transaction: raise --max-txn-ops", true},
	{rpctypes.ErrCorrupt, "etcd has found that its members' data differ (CORRUPT)", true},
	{rpctypes.ErrNoLeader, "etcd has no leader: most of its members are down or cut off", false},
	{rpctypes.ErrLeaderChanged, "etcd is electing a leader", false},
	{rpctypes.ErrTimeout, "etcd's members do not agree in time: most of them are down, cut off or slow", false},
	{rpctypes.ErrTimeoutDueToLeaderFail, "etcd has lost its leader", false},
	{rpctypes.ErrTimeoutDueToConnectionLost, "etcd's members have lost each other", false},
	{rpctypes.ErrCompacted, "etcd has compacted away what the watch was waiting for", false},
}

// explain says in a sentence why etcd at a did not answer.
func explain(err error, a Address) *storeError {
	var known *storeError
	if errors.As(err, &known) {
		return known
	}
	typed := rpctypes.Error(err)
	for _, e := range explained {
		if errors.Is(typed, e.err) {
			return &storeError{e.text, err, e.final}
		}
	}
	message := status.Convert(err).Message()
	text, final := explainConnection(message, a.TLS)
	switch {
	case text != "":
	case errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded:
		text = "does not answer in time"
	case status.Code(err) == codes.Unavailable:
		text = "cannot be reached: " + reason(message)
	default:
		text = "fails: " + reason(message)
	}
	return &storeError{fmt.Sprintf("etcd at %s %s", strings.Join(a.Endpoints, ", "), text), err, final}
}

// explainConnection says what etcd does, going by the text of gRPC's error, if that is about certificates or TLS; final, if trying again
// is of no use.
func explainConnection(message string, overTLS bool) (text string, final bool) {
	has := func(s string) bool { return strings.Contains(message, s) }
	switch {
	case has("x509: ") || has("tls: failed to verify"):
		return "has a certificate that is not to be trusted: " + untrusted(message), true
	case has("remote error: tls: "):
		return "refuses the client certificate, or wants one (cert and key): " + after(message, "remote error: "), true
	case has("handshake failed"):
		return "breaks off the TLS handshake (if it runs without TLS, use etcd:// without cacert, cert and key): " + reason(message), false
	case overTLS && (has("error reading server preface") || has("broken pipe")):
		return "closes the connection: perhaps it refuses the client certificate, or wants one (cert and key): " + reason(message), false
	case !overTLS && has("error reading server preface"):
		return "cannot be reached, or wants TLS (etcds:// or cacert): " + reason(message), false
	}
	return "", false
}

// untrusted returns the first cause of a certificate's refusal, without Go's guesses at why.
func untrusted(message string) string {
	if _, cause, ok := strings.Cut(message, "x509: "); ok {
		message = cause
	}
	message, _, _ = strings.Cut(message, " (possibly because of")
	return strings.Trim(message, `"\ `)
}

// after returns s from the last mark on, without the quotes that gRPC wraps around causes.
func after(s, mark string) string {
	if i := strings.LastIndex(s, mark); i >= 0 {
		s = s[i+len(mark):]
	}
	return strings.Trim(s, `"\ `)
}

// reason returns the innermost cause of gRPC's "last connection error: connection error: desc = …".
func reason(message string) string {
	for _, mark := range []string{"desc = ", "transport: ", "Error while dialing: "} {
		message = after(message, mark)
	}
	return message
}

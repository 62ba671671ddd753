package zone

import "strings"

const (
	maxLabel = 63 // bytes, RFC 1035, section 2.3.4
	machine  = 64 // hexadecimal digits of the IDs that runtimes make up
	short    = 12 // of which people use so many
)

// Label returns the DNS label of a container or host, "" if it can have none: its name in lower case, with a '-' for each run of
// what is no letter, digit, '-' or '_', and none at either end. An ID of 64 hexadecimal digits, as containerd, Docker and podman make them
// up, is cut to the first 12, as they do. exact says that it is the name but for the case of its letters.
func Label(name string) (label string, exact bool) {
	if len(name) == machine && strings.Trim(name, "0123456789abcdef") == "" {
		return name[:short], false
	}
	if isLabel(name) {
		return name, true
	}
	var b strings.Builder
	gap := false
	for _, c := range []byte(strings.ToLower(name)) {
		if !inLabel(c) {
			gap = true
			continue
		}
		if gap {
			b.WriteByte('-')
		}
		gap = false
		b.WriteByte(c)
	}
	label = strings.Trim(b.String(), "-")
	if len(label) > maxLabel {
		return "", false
	}
	return label, label == strings.ToLower(name)
}

// isLabel reports whether a name is a label as it is, as most are.
func isLabel(name string) bool {
	if name == "" || len(name) > maxLabel || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for i := range len(name) {
		if !inLabel(name[i]) {
			return false
		}
	}
	return true
}

func inLabel(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

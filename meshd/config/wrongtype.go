package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// decodeError puts an error of package toml about a value of the wrong type into the words of who writes the file: the
// key, and what it takes. Other errors lose the package's name only.
func decodeError(err error) error {
	text := strings.TrimPrefix(err.Error(), "toml: ")
	line, rest, found := strings.Cut(text, ` (last key "`)
	key, what, quoted := strings.Cut(rest, `"): `)
	wrong := strings.HasPrefix(what, "incompatible types: ") || strings.HasPrefix(what, "type mismatch for ")
	if !found || !quoted || !wrong {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %s is %s", line, key, valueOf(key))
}

// valueOf says what a key's value is.
func valueOf(key string) string {
	table, name := reflect.TypeFor[rawConfig](), key
	if in, found := strings.CutPrefix(key, "network."); found {
		table, name = reflect.TypeFor[rawNetwork](), in
	}
	for i := range table.NumField() {
		if table.Field(i).Tag.Get("toml") != name {
			continue
		}
		typ := table.Field(i).Type
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		switch {
		case typ == reflect.TypeFor[[]rawNetwork]():
			return "a list of tables; begin each with [[network]]"
		case name == "listen":
			return `a list, e.g. [":7000"]`
		case typ.Kind() == reflect.Slice:
			return `a list, e.g. ["192.0.2.1:7000"]`
		case typ.Kind() == reflect.String:
			return "text, in quotes"
		case typ.Kind() == reflect.Bool:
			return "true or false, without quotes"
		}
		return "a whole number, without quotes"
	}
	return "of another type"
}

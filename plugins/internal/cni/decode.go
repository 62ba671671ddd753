package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Decode reads a configuration. The error is a *types.Error that names the field that is wrong.
func Decode(stdin []byte, conf any) error {
	if err := json.Unmarshal(stdin, conf); err != nil {
		return types.NewError(types.ErrDecodingFailure, "cannot read the network configuration", decodeError(err).Error())
	}
	return nil
}

// decodeError says of a value of the wrong type what is right, in JSON's words. Other errors stay as they are.
func decodeError(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	var path []string
	for part := range strings.SplitSeq(wrong.Field, ".") {
		if part != "" && part != "PluginConf" { // embedded
			path = append(path, part)
		}
	}
	field := strings.Join(path, ".")
	if field == "" {
		field = "the configuration"
	}
	want := "an object"
	switch wrong.Type.Kind() {
	case reflect.String:
		want = "a string"
	case reflect.Int:
		want = "a whole number"
	case reflect.Uint64:
		want = "a whole number, not negative"
	case reflect.Bool:
		want = "true or false"
	case reflect.Slice:
		want = "a list"
	}
	return fmt.Errorf("%s must be %s, not: %s", field, want, wrong.Value)
}

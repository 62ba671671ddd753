package cni

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	cniversion "github.com/containernetworking/cni/pkg/version"
)

// MaxConfig is the size of the largest configuration that a plugin reads, in bytes. Those of runtimes, with the results of
// other plugins and the list of a garbage collection, have some hundred bytes for each container.
const MaxConfig = 4 << 20

// Program is a plugin.
type Program struct {
	Name    string
	Version string
	Help    string // what --help prints
	Funcs   skel.CNIFuncs
}

// Versions are those of the specification whose results the cni module converts to.
func Versions() cniversion.PluginInfo {
	return cniversion.PluginSupports("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
}

// Main runs the plugin as the environment says, and ends the process if that fails.
func (p Program) Main() {
	command := os.Getenv("CNI_COMMAND")
	if command == "" {
		p.byHand(os.Args[1:])
		return
	}
	if command != "VERSION" {
		if err := limitStdin(); err != nil {
			err.Print()
			os.Exit(1)
		}
	}
	skel.PluginMainFuncs(p.Funcs, Versions(), "")
}

// byHand answers a person.
func (p Program) byHand(args []string) {
	for _, a := range args {
		switch a {
		case "--help", "-h", "-help":
			fmt.Print(p.Help)
			return
		case "--version", "-version":
			fmt.Println(p.Name, p.Version)
			return
		}
	}
	fmt.Fprintf(os.Stderr, "%s is a CNI plugin, run by container runtimes (%s --help says more).\nCNI versions: %s\n",
		p.Name, p.Name, strings.Join(Versions().SupportedVersions(), ", "))
	os.Exit(2)
}

// limitStdin replaces standard input by one that has at most MaxConfig bytes, so that no runtime can have a plugin parse, six
// times over, more than that.
func limitStdin() *types.Error {
	text, err := io.ReadAll(io.LimitReader(os.Stdin, MaxConfig+1))
	if err != nil {
		return types.NewError(types.ErrIOFailure, "cannot read the network configuration from standard input", err.Error())
	}
	if len(text) > MaxConfig {
		return types.NewError(types.ErrDecodingFailure, fmt.Sprintf("the network configuration has more than %d bytes", MaxConfig), "")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return types.NewError(types.ErrIOFailure, "cannot make a pipe for the network configuration", err.Error())
	}
	go func() { // a pipe has room for 64 KiB
		w.Write(text)
		w.Close()
	}()
	os.Stdin = r
	return nil
}

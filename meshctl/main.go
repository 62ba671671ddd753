// Meshctl is the command line of meshnet: it asks the meshd of this host through its Unix socket.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"meshnet/meshd/api"
	"meshnet/meshd/token"
)

// version is set by the build (-ldflags -X).
var version = "devel"

// Exit codes. Scripts rely on them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// callTimeout bounds one command. The longest is a join, which waits for a member.
const callTimeout = time.Minute

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main without the process: it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	root := newRoot(&cli{stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "meshctl: %s\n", oneLine(err))
	}
	return exitCode(err)
}

// usageError is an error of who called: the command line is wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef returns a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode returns the exit code that says err.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, api.ErrUnreachable):
		return exitUnreachable
	}
	return exitFailed
}

// oneLine returns err's text as one line.
func oneLine(err error) string {
	return printable(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
}

// checked makes a usage error of what an argument check says. Cobra counts arguments; here the one that is too much or
// missing is named.
func checked(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		switch {
		case err == nil:
			return nil
		case cmd.HasSubCommands():
			return unknownCommand(cmd, args[0])
		case errors.As(err, new(usageError)): // says it already
		case len(args) == 0:
			err = fmt.Errorf("%s is missing", strings.Fields(cmd.Use)[1])
		default:
			for n, arg := range args {
				if check(cmd, args[:n]) == nil {
					err = fmt.Errorf("%q is an argument too much", arg)
				}
			}
		}
		return usagef("%w; usage: %s", err, cmd.UseLine())
	}
}

// networkNames says whether all arguments can be names of networks. It is the first check of several.
func networkNames(_ *cobra.Command, args []string) error {
	for _, name := range args {
		if err := token.CheckName(name); err != nil {
			return usageError{err}
		}
	}
	return nil
}

// unknownCommand is the error for a word that is none of cmd's subcommands.
func unknownCommand(cmd *cobra.Command, word string) error {
	hint := ""
	cmd.SuggestionsMinimumDistance = 2 // edits
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s? ", strings.Join(near, " or "))
	}
	return usagef("unknown command %q; %ssee %s --help", word, hint, cmd.CommandPath())
}

// flagError is the usage error for a flag that is unknown or has a value that it cannot have. What package strconv says of
// the value is for programmers.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	var number *strconv.NumError
	if errors.As(err, &number) {
		what := "it is not a whole number"
		switch {
		case number.Func == "ParseBool":
			what = "it is not true or false"
		case errors.Is(number, strconv.ErrRange):
			what = "it is too large"
		}
		text = strings.Replace(text, number.Error(), what, 1)
	}
	return usagef("%s; see %s --help", text, cmd.CommandPath())
}

package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// bootIDFile identifies the running kernel's boot (drivers/char/random.c, proc_do_uuid).
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// BootID returns what identifies this boot of the host. It is the same in every container.
func BootID() (string, error) {
	b, err := os.ReadFile(bootIDFile)
	if err != nil {
		return "", fmt.Errorf("identifying the host's boot: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// noteBoot keeps id in a file and reports whether that named another boot. It reports true once a boot: not if the file
// cannot be written, since a later start in this boot would take containers that run for those of an earlier one. The
// file is not synced; what a crash of the host loses is of an earlier boot afterwards.
func noteBoot(path, id string) (rebooted bool, err error) {
	if path == "" || id == "" {
		return false, nil
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if strings.TrimSpace(string(old)) == id {
		return false, nil
	}
	if err := replace(path, id+"\n"); err != nil {
		return false, err
	}
	return len(old) > 0, nil
}

// replace writes a file so that a reader finds the old text or the new one.
func replace(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

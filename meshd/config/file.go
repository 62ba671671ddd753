package config

import (
	"errors"
	"os"
	"path/filepath"
)

// temporary ends the names of files that are being written.
const temporary = ".tmp"

// writeFile makes path hold data, for its owner's eyes only. After a crash it holds the old content or the new one; when
// writeFile has returned nil, the new one is on disk.
func writeFile(path string, data []byte) error {
	tmp := path + temporary
	err := writeSync(tmp, data)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp) // if this fails too, the next writeFile overwrites it
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeSync writes a file of mode 0600 and waits until it is on disk.
func writeSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir waits until the names in dir are on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

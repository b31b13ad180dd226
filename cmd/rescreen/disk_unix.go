//go:build linux || darwin

package main

import "syscall"

// diskSpace returns what is free for us, and all there is, on the disk that holds
// a directory, in bytes.
func diskSpace(dir string) (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize)
	return uint64(s.Bavail) * block, (uint64(s.Blocks) - uint64(s.Bfree) + uint64(s.Bavail)) * block, nil
}

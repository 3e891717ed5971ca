// Package powercut cuts the power of real file systems. A disk is a file in
// memory, given to the kernel by FUSE and a loop device, which keeps each write
// and each flush. From these, disks are made as they may be found after a loss of
// power: all that was written before the last flush, and of what came later some.
// The kernel mounts them, which replays the file system's journal, and the store
// on them is held against what was answered before.
package powercut

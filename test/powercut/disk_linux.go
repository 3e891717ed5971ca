package powercut

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// disk is a file in memory that the kernel takes for a disk.
type disk struct {
	fs.Inode
	dir    string // holds the mount points
	server *fuse.Server

	mu    sync.RWMutex
	base  []byte
	over  map[int64][]byte // blocks that were written since, if tape is nil
	tape  *tape            // writes go to base and to it
	mount string
}

const block = 4096

// newDisk gives the image to the kernel, as a file in a file system of its own.
func newDisk(image []byte) (*disk, error) {
	dir, err := os.MkdirTemp("", "postwain-powercut-")
	if err != nil {
		return nil, err
	}
	d := &disk{dir: dir, base: image, over: map[int64][]byte{}, mount: filepath.Join(dir, "mount")}
	files := filepath.Join(dir, "fuse")
	err = errors.Join(os.Mkdir(files, 0o700), os.Mkdir(d.mount, 0o700))
	if err == nil {
		d.server, err = fs.Mount(files, &folder{disk: d}, &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, FsName: "powercut", MaxWrite: 1 << 20}})
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return d, nil
}

func (d *disk) close() error {
	if err := d.server.Unmount(); err != nil {
		return fmt.Errorf("powercut: unmounting FUSE: %w", err)
	}
	return os.RemoveAll(d.dir)
}

// attach mounts the disk. The error of the mount itself is errMount: the kernel
// cannot read what is on it.
func (d *disk) attach(kind string) (detach func() error, err error) {
	file, err := os.OpenFile(filepath.Join(d.dir, "fuse", "image"), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	loop, err := loopOf(file)
	if err != nil {
		return nil, err
	}
	options := map[string]string{"ext4": "", "xfs": "nouuid", "btrfs": ""}[kind]
	if err := unix.Mount(loop.Name(), d.mount, kind, unix.MS_NOATIME, options); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errMount, err), loop.Close())
	}
	return func() error {
		err := os.NewSyscallError("umount", unix.Unmount(d.mount, 0))
		return errors.Join(err, loop.Close()) // the last to close it ends it
	}, nil
}

var errMount = errors.New("powercut: the file system does not mount")

// loopOf gives a loop device that ends with its last user.
func loopOf(file *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, os.NewSyscallError("LOOP_CTL_GET_FREE", err)
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &unix.LoopConfig{Fd: uint32(file.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}})
		if err == nil {
			return loop, nil
		}
		if err = errors.Join(os.NewSyscallError("LOOP_CONFIGURE", err), loop.Close()); !errors.Is(err, unix.EBUSY) {
			return nil, err
		}
	}
}

// folder is the directory that the disk is in.
type folder struct {
	fs.Inode
	disk *disk
}

// OnAdd is called once.
func (f *folder) OnAdd(ctx context.Context) {
	f.AddChild("image", f.NewPersistentInode(ctx, f.disk, fs.StableAttr{Mode: fuse.S_IFREG}), false)
}

// Getattr tells the size of the disk.
func (d *disk) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, uint64(len(d.base))
	return fs.OK
}

// Open keeps the kernel from caching what is in memory already.
func (d *disk) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, fs.OK
}

// Read gives what was written last.
func (d *disk) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	n := copy(dest, d.base[min(off, int64(len(d.base))):])
	if len(d.over) > 0 {
		for at := off / block; at*block < off+int64(n); at++ {
			if b := d.over[at]; b != nil {
				overlap(dest[:n], off, b, at*block)
			}
		}
	}
	return fuse.ReadResultData(dest[:n]), fs.OK
}

// overlap copies of src, which is at srcAt, what is within dest, which is at destAt.
func overlap(dest []byte, destAt int64, src []byte, srcAt int64) {
	from := max(destAt, srcAt)
	if to := min(destAt+int64(len(dest)), srcAt+int64(len(src))); from < to {
		copy(dest[from-destAt:to-destAt], src[from-srcAt:])
	}
}

// Write is kept on the tape, if there is one.
func (d *disk) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if off+int64(len(data)) > int64(len(d.base)) {
		return 0, syscall.EFBIG
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tape != nil {
		there := d.base[off : off+int64(len(data))]
		d.tape.add(event{at: off, data: bytes.Clone(data), old: bytes.Clone(there)})
		copy(there, data)
		return uint32(len(data)), fs.OK
	}
	d.put(event{at: off, data: data})
	return uint32(len(data)), fs.OK
}

// put writes over the base. The caller holds d.mu.
func (d *disk) put(e event) {
	for at := e.at / block; at*block < e.at+int64(len(e.data)); at++ {
		b := d.over[at]
		if b == nil {
			b = append([]byte(nil), d.base[at*block:min((at+1)*block, int64(len(d.base)))]...)
			d.over[at] = b
		}
		overlap(b, at*block, e.data, e.at)
	}
}

// Fsync is a flush of the disk's own memory.
func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	if d.tape != nil {
		d.tape.add(event{flush: true})
	}
	return fs.OK
}

// settle makes writes part of the base.
func (d *disk) settle(events []event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range events {
		copy(d.base[e.at:], e.data)
	}
}

// rewind takes back from the base what a tape has put onto it.
func (d *disk) rewind(events []event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.over)
	for _, e := range slices.Backward(events) {
		copy(d.base[e.at:], e.old)
	}
}

// arrive has the disk hold the base and events, and nothing else.
func (d *disk) arrive(events []event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.over)
	for _, e := range events {
		d.put(e)
	}
}

#!/usr/bin/python3
"""A FUSE server that is a program of the run and makes trapped calls before it answers, and a child that gives pages of its
file to calls: as a path, as a struct, as memory for a device. Whoever waited for a page in the place of the caller would
wait for ever. Structs are those of linux/fuse.h."""
import ctypes, fcntl, mmap, os, struct, sys

PAGE = 4096
PATHS = [b'/dev/vfio/vfio', b'/sys/bus/pci', b'/dev/vfio/nothing', b'pinned']
CONTENT = b''.join(path.ljust(PAGE, b'\0') for path in PATHS)
LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 18, 25, 26
libc = ctypes.CDLL(None, use_errno=True)


def attr(ino):
    mode, size = (0o40755, 0) if ino == 1 else (0o100644, len(CONTENT))
    return struct.pack('<6Q10I', ino, size, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, PAGE, 0)


def reply(opcode, node, body):
    if opcode == INIT:
        return struct.pack('<4I2H2I9I', 7, 31, PAGE, 0, 1, 1, PAGE, 1, *[0] * 9)
    if opcode == LOOKUP:
        return struct.pack('<4Q2I', 2, 0, 3600, 3600, 0, 0) + attr(2) if body == b'file\0' else -2
    if opcode == GETATTR:
        return struct.pack('<QII', 3600, 0, 0) + attr(node)
    if opcode == OPEN:
        # Who opened it in the place of a program would wait for ever.
        os.stat('/sys/bus/pci/devices')
        return struct.pack('<QII', 0, 0, 0)
    if opcode == READ:
        os.stat('/sys/bus/pci/devices')
        os.close(os.open('/dev/vfio/vfio', os.O_RDWR))
        offset, size = struct.unpack_from('<8xQI', body)
        return CONTENT[offset:offset + size]
    return b'' if opcode in (RELEASE, FLUSH) else -38


def serve(fuse):
    while True:
        try:
            request = os.read(fuse, 1 << 17)
        except OSError:
            return
        _, opcode, unique, node = struct.unpack_from('<IIQQ', request)
        if opcode == FORGET:
            continue
        data = reply(opcode, node, request[40:])
        error, data = (data, b'') if isinstance(data, int) else (0, data)
        try:
            os.write(fuse, struct.pack('<IiQ', 16 + len(data), error, unique) + data)
        except FileNotFoundError:
            pass  # whoever asked has been interrupted


def say(what, call):
    ctypes.set_errno(0)
    result = call()
    print(what, os.strerror(ctypes.get_errno()) if result < 0 else 'ok', flush=True)
    return result


def child(mount):
    fd = os.open(mount + '/file', os.O_RDONLY)
    # Nobody reads ahead: each page is a question of its own.
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    libc.mmap.restype = ctypes.c_void_p
    at = libc.mmap(None, len(CONTENT), mmap.PROT_READ, mmap.MAP_PRIVATE, fd, ctypes.c_long(0))
    page = lambda n: ctypes.c_void_p(at + n * PAGE)
    say('a device', lambda: libc.open(page(0), os.O_RDWR))
    say('a directory', lambda: libc.access(page(1), os.F_OK))
    say('nothing', lambda: libc.open(page(2), os.O_RDONLY))
    iommufd = os.open('/dev/iommu', os.O_RDWR)
    ioctl = lambda nr, text: fcntl.ioctl(iommufd, nr, bytearray(text))
    ioctl(0x3b81, struct.pack('<3I', 12, 0, 0))
    ioctl(0x3ba0, struct.pack('<18I', 72, 2, 1, *[0] * 15))
    request = struct.pack('<4I3Q', 40, 5, 1, 0, at + 3 * PAGE, PAGE, 1 << 24)
    say('pinned', lambda: libc.ioctl(iommufd, 0x3b85, request))
    # From now on nothing says what it is a file of.
    shared = libc.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(0))
    libc.umount2(mount.encode(), 2)
    request = struct.pack('<4I3Q', 40, 5, 1, 0, shared, PAGE, 1 << 25)
    say('pinned when its mount is gone', lambda: libc.ioctl(iommufd, 0x3b85, request))


mount = sys.argv[1]
fuse = os.open('/dev/fuse', os.O_RDWR)
options = b'fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % fuse
if libc.mount(b'slow', mount.encode(), b'fuse.slow', 0, options) < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
if os.fork() == 0:
    serve(fuse)
    os._exit(0)
os.close(fuse)
try:
    child(mount)
finally:
    libc.umount2(mount.encode(), 2)

"""Calls with a path that few programs make, on what is simulated: marks of fanotify, attributes, accounting, swap, quotas, mounts."""
import ctypes, errno, os, select, struct, sys

from observing import libc, tried

DEVICES = '/sys/bus/pci/devices'
DEVICE = f'{DEVICES}/0000:00:04.0'
VENDOR = f'{DEVICE}/vendor'
CWD = -100
MARK = {'add': 1, 'remove': 2, 'nofollow': 4, 'mount': 0x10, 'flush': 0x80, 'fs': 0x100}
FAN_OPEN, FAN_OPEN_PERM, FAN_CREATE, FAN_ONDIR, FAN_CHILD = 0x20, 0x10000, 0x100, 0x40000000, 0x08000000


def call(number, *args):
    """Its result, or the name of its errno; ENOSYS is told as it is."""
    made = [ctypes.c_char_p(a.encode()) if isinstance(a, str) else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(number), *made)
    return errno.errorcode[ctypes.get_errno()] if result < 0 else result


def marks():
    """Of a node, of a directory, by a descriptor, of what it is on; and who would decide of opens."""
    group = libc.fanotify_init(4, 0)  # FAN_CLASS_CONTENT
    if group < 0:
        print('no fanotify')
        return
    def mark(how, mask, directory, path):
        flags = 0
        for word in how.split():
            flags |= MARK[word]
        return call(301, group, flags, mask, directory, path)
    os.chdir(DEVICES)
    here = os.open('.', os.O_RDONLY | os.O_DIRECTORY)
    print('a node:', mark('add', FAN_OPEN, CWD, VENDOR), mark('remove', FAN_OPEN, CWD, VENDOR), mark('remove', FAN_OPEN, CWD, VENDOR))
    print('a directory:', mark('add', FAN_OPEN | FAN_ONDIR, CWD, DEVICES), mark('add', FAN_OPEN, here, '.'), mark('add', FAN_OPEN, here, 0))
    print('its file system:', mark('add fs', FAN_OPEN, CWD, VENDOR), mark('add mount', FAN_OPEN, CWD, DEVICE))
    print('nothing:', mark('add', FAN_OPEN, CWD, f'{DEVICE}/none'))
    print('out of it:', mark('add', FAN_OPEN, here, '../../../../etc/hostname'), mark('remove', FAN_OPEN, CWD, '/etc/hostname'))
    print('deciding:', mark('add', FAN_OPEN_PERM, CWD, DEVICES), mark('add mount', FAN_OPEN_PERM, CWD, '/'), mark('add', FAN_OPEN_PERM, here, 0))
    print('flushed:', call(301, group, MARK['flush'], 0, CWD, 0))
    print('listed meanwhile:', len(os.listdir(DEVICES)) > 0)


def watched():
    """inotify with its flag that keeps it from a link."""
    watcher = libc.inotify_init1(os.O_NONBLOCK)
    IN_OPEN, DONT_FOLLOW = 0x20, 0x2000000
    print('watched:', libc.inotify_add_watch(watcher, DEVICES.encode(), IN_OPEN | DONT_FOLLOW) > 0)
    os.listdir(DEVICES)
    print('heard:', len(tried(os.read, watcher, 4096)) > 0)


def attributes():
    value = ctypes.create_string_buffer(64)
    args = struct.pack('QII', ctypes.addressof(value), 64, 0)
    # An old kernel of the host has none of them anywhere.
    def at(number, path, *rest):
        return call(number, CWD, path, 0, *rest)
    open_ones = [os.open(path, os.O_RDONLY) for path in (VENDOR, DEVICES)]
    print('by name:', at(464, VENDOR, 'user.x', args, 16), at(463, VENDOR, 'user.x', args, 16), at(465, VENDOR, value, 64), at(466, VENDOR, 'user.x'))
    print('wrong:', at(464, VENDOR, 'user.x', args, 8), at(464, VENDOR, 'user.x', args, 5000), call(465, CWD, VENDOR, 7, value, 64))
    for fd in open_ones:
        print('by descriptor:', tried(os.getxattr, fd, 'user.x'), tried(os.setxattr, fd, 'user.x', b'1'), tried(os.listxattr, fd), tried(os.removexattr, fd, 'user.x'))
    print('flags:', call(468, CWD, VENDOR, value, 24, 0), call(469, CWD, VENDOR, value, 24, 0), call(468, CWD, VENDOR, value, 24, 1))
    print('nothing:', at(464, f'{DEVICE}/none', 'user.x', args, 16), call(468, CWD, f'{DEVICE}/none', value, 24, 0))
    stat = ctypes.create_string_buffer(256)
    os.chdir(DEVICES)
    print('no path:', call(332, open_ones[1], 0, 0x1000, 0xfff, stat) in (0, 'EFAULT'), call(332, CWD, '', 0x1000, 0xfff, stat), struct.unpack_from('<Q', stat.raw, 32)[0] == os.stat(DEVICES).st_ino)


def privileged():
    """Whatever the rights, nothing of the host is meant."""
    print('accounting:', *(call(163, path) for path in (VENDOR, '/sys/bus/pci/rescan', DEVICES, '/dev/vfio/vfio', f'{DEVICE}/none')))
    print('swap:', *(call(number, path, 0) for number in (167, 168) for path in (VENDOR, DEVICES, '/dev/vfio/vfio')))
    GETQUOTA = 0x800007 << 8
    print('quotas:', *(call(179, GETQUOTA, path, 0, 0) for path in (VENDOR, '/dev/vfio/vfio', f'{DEVICE}/none')))
    print('mounts:', call(467, CWD, DEVICES, 0, 0, 0), call(431, -1, 3, 'lowerdir+', DEVICES, CWD))


globals()[sys.argv[1]]()

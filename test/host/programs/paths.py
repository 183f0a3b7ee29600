"""Paths between the simulated tree and the host: what a program finds, and with whose rights. One line an observation."""
import ctypes, errno, os, signal, socket, stat, struct, sys, tempfile, threading

from observing import libc, text, tried

DEVICES = '/sys/bus/pci/devices'
DEVICE = '0000:00:04.0'
OUT = '../../../..'
scratch = tempfile.mkdtemp(prefix='paths-')


def syscall(number, *args):
    result = libc.syscall(number, *args)
    return errno.errorcode[ctypes.get_errno()] if result < 0 else result


def leave():
    """Out of the tree by every way: the rights are the caller's, and so is the process."""
    os.chdir('/dev')
    print('from /dev:', text('../etc/shadow'), text('../proc/self/comm'))
    print('by dots:', text(f'{DEVICES}/{DEVICE}/../../../../etc/shadow'))
    os.chdir(DEVICES)
    print('from devices:', text(f'{OUT}/etc/shadow'), text(f'{OUT}/proc/self/comm'))
    directory = os.open(DEVICE, os.O_RDONLY | os.O_DIRECTORY)
    print('by a descriptor:', tried(os.open, '../../../etc/shadow', os.O_RDONLY, dir_fd=directory))
    print('through /proc:', text(f'/proc/self/cwd/{DEVICE}/vendor'), text(f'/proc/self/fd/{directory}/vendor'))
    print('where:', os.getcwd(), os.readlink('/proc/self/cwd'))
    os.umask(0o077)
    made = f'{OUT}{scratch}/made'
    os.close(os.open(made, os.O_CREAT | os.O_WRONLY, 0o666))
    found = os.stat(f'{scratch}/made')
    print('a new file:', oct(stat.S_IMODE(found.st_mode)), found.st_uid == os.getuid())
    os.rename(made, f'{OUT}{scratch}/moved')
    os.link(f'{scratch}/moved', f'{OUT}{scratch}/linked')
    os.mkdir(f'{OUT}{scratch}/directory')
    os.chmod(f'{OUT}{scratch}/moved', 0o640)
    print('and others:', sorted(os.listdir(f'{OUT}{scratch}')), oct(os.stat(f'{scratch}/moved').st_mode & 0o777))
    print('a program:', os.spawnv(os.P_WAIT, f'{OUT}/bin/true', ['true']))
    server = socket.socket(socket.AF_UNIX)
    server.bind(f'{OUT}{scratch}/socket')
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(f'{OUT}{scratch}/socket')
    print('a socket:', os.path.exists(f'{scratch}/socket'))
    os.close(os.open(f'{OUT}{scratch}/'.encode() + b'\xff\xfe', os.O_CREAT))
    print('a name that is no text:', os.listdir(scratch.encode())[-1:] != [] and b'\xff\xfe' in os.listdir(scratch.encode()))
    os.chdir(OUT)
    print('gone to:', os.getcwd())


def spellings():
    """One directory by many names."""
    os.chdir(DEVICES)
    here = os.open('.', os.O_RDONLY | os.O_DIRECTORY)
    for way in ('//proc/self/cwd', '/proc/self/task/../cwd', f'/proc/self/../self/fd/{here}', f'/proc/{os.getpid()}/cwd/.'):
        print(way.replace(str(os.getpid()), 'PID').replace(str(here), 'FD'), text(f'{way}/{DEVICE}/vendor'))
    for directory in ('/dev', '/sys', '/sys/bus', '/sys/devices', '/dev/vfio', DEVICES):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        by_name, by_descriptor = os.stat(directory), os.fstat(fd)
        print(directory, (by_name.st_dev, by_name.st_ino) == (by_descriptor.st_dev, by_descriptor.st_ino))


def magic():
    """Out of a directory again that a link of /proc leads to."""
    os.chdir(f'{DEVICES}/{DEVICE}')
    here = os.open('.', os.O_RDONLY | os.O_DIRECTORY)
    me = os.getpid()
    for way in ('self/cwd', 'thread-self/cwd', f'{me}/cwd', f'{me}/task/{me}/cwd', f'self/fd/{here}', f'self/root{DEVICES}/{DEVICE}'):
        up = f'/proc/{way}/..'
        print(way.replace(str(me), 'PID').replace(str(here), 'FD'), text(f'{up}/{DEVICE}/vendor'), text(f'{up}/../../../proc/self/comm'), tried(os.stat, f'{up}/none'))
    print('beside them:', text(f'/dev/fd/{here}/vendor'), text(f'/dev/fd/{here}/../{DEVICE}/vendor'), tried(os.open, f'/proc/self/fd/{here}/vendor/..', os.O_RDONLY))
    os.mkdir(f'{scratch}/made')
    made = f'/proc/self/cwd/../../../..{scratch}/made'
    print('changed:', tried(os.rename, made, f'/proc/self/fd/{here}/../../../..{scratch}/moved'), os.listdir(scratch))
    os.chdir('/proc/self')
    print('relative:', text(f'fd/{here}/../{DEVICE}/vendor'), text(f'fd/{here}/../../../../proc/self/comm'), text('cwd/../self/comm'))
    os.chdir(scratch)
    up = '/..' * scratch.count('/')
    print('from the host:', text(f'/proc/self/cwd{up}{DEVICES}/{DEVICE}/vendor'))
    os.chdir(f'/proc/self/fd/{here}/..')
    print('gone to:', os.getcwd())


def temporary():
    """Files without a name."""
    TMPFILE = os.O_TMPFILE
    print('in it:', tried(os.open, DEVICES, TMPFILE | os.O_RDWR, 0o600) in ('EOPNOTSUPP', 'ENOTSUP', 'EACCES'), tried(os.open, DEVICES, TMPFILE | os.O_RDONLY))
    print('in a file of it:', tried(os.open, f'{DEVICES}/{DEVICE}/vendor', TMPFILE | os.O_RDWR))
    text_of_link = ctypes.create_string_buffer(100)
    print('a link, cut:', *(syscall(89, f'{DEVICES}/{DEVICE}'.encode(), text_of_link, length) for length in (-1, 0, 5)), text_of_link.value)
    os.chdir(DEVICES)
    print('out of it:', isinstance(os.open(f'{OUT}{scratch}', TMPFILE | os.O_RDWR, 0o600), int))


def others():
    """Through the links of another process of the same user, and of none of its threads."""
    ready, release = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.chdir(DEVICES)
        os.dup2(os.open(DEVICE, os.O_RDONLY | os.O_DIRECTORY), 40)
        os.write(ready[1], b'!')
        os.read(release[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    for way in (f'cwd/{DEVICE}', 'fd/40', f'task/{child}/cwd/{DEVICE}', f'root{DEVICES}/{DEVICE}'):
        print(way.replace(str(child), 'PID'), text(f'/proc/{child}/{way}/vendor'))
    print('its links:', os.readlink(f'/proc/{child}/cwd'), os.readlink(f'/proc/{child}/fd/40') == os.path.realpath(f'{DEVICES}/{DEVICE}'))
    print('of no thread of it:', text(f'/proc/self/task/{child}/status'), text(f'/proc/self/task/{child}/cwd/{DEVICE}/vendor'))
    os.write(release[1], b'!')
    os.waitpid(child, 0)


def namespace():
    """All capabilities in a user namespace of one's own are none over the devices."""
    CLONE_NEWUSER = 0x10000000
    uid = os.getuid()
    if libc.unshare(CLONE_NEWUSER) < 0:
        print('cannot be tried')
        return
    with open('/proc/self/uid_map', 'w') as file:
        file.write(f'0 {uid} 1')
    print('as its root:', os.getuid(), tried(os.open, '/dev/iommu', os.O_RDWR), tried(os.chmod, '/dev/iommu', 0o666))


def killed():
    """Programs that are killed in the middle of a call that their thread makes for us."""
    for n in range(60):
        child = os.fork()
        if child == 0:
            while True:
                os.chdir(DEVICES)
        threading.Event().wait(0.001 * (n % 7))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print('all ended')


def wait():
    """A FIFO is waited for by its opener alone, and a signal ends that as it does elsewhere."""
    os.mkfifo(f'{scratch}/fifo')
    os.chdir(DEVICES)
    threading.Timer(0.3, lambda: open(f'{scratch}/fifo', 'w').write('data')).start()
    print('meanwhile:', len(os.listdir('.')) > 0, text(f'{OUT}{scratch}/fifo'))
    signal.signal(signal.SIGALRM, lambda *_: print('a signal came'))
    signal.siginterrupt(signal.SIGALRM, True)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    path = ctypes.create_string_buffer(f'{OUT}{scratch}/fifo'.encode())
    rc = libc.open(path, os.O_RDONLY)
    print('interrupted:', errno.errorcode[ctypes.get_errno()] if rc < 0 else rc)


def change():
    """Nobody makes, removes or moves anything in the tree."""
    for directory in (DEVICES, '/dev/vfio'):
        new, old = f'{directory}/new', f'{directory}/{os.listdir(directory)[0]}'
        print('make:', tried(os.mkdir, new), tried(os.symlink, 'x', new), tried(os.mkdir, old), tried(os.open, new, os.O_CREAT))
        print('remove:', tried(os.unlink, old if directory == DEVICES else '/dev/vfio/vfio'), tried(os.rmdir, '/dev/vfio/devices'), tried(os.unlink, new))
        print('move:', tried(os.rename, old, new), tried(os.rename, old, f'{scratch}/x'), tried(os.rename, scratch, new))
    print('link:', tried(os.link, '/dev/vfio/vfio', f'{scratch}/x'))
    print('attributes:', tried(os.setxattr, '/dev/vfio/vfio', 'user.x', b'1'), tried(os.execv, '/dev/vfio/vfio', ['x']))
    unix = socket.socket(socket.AF_UNIX)
    print('sockets:', tried(unix.bind, '/dev/vfio/vfio'), tried(unix.bind, f'{DEVICES}/socket'), tried(unix.connect, '/dev/vfio/vfio'))
    print('length:', tried(os.truncate, '/dev/vfio/vfio', 0), tried(os.truncate, '/dev/vfio', 0))


def owner():
    """Modes and owners can be changed, and hold."""
    node = f'/dev/vfio/{next(name for name in os.listdir("/dev/vfio") if name.isdigit())}'
    os.chmod(node, 0o640)
    os.chown(node, 12, 34)
    found = os.stat(node)
    print('by name:', oct(found.st_mode & 0o777), found.st_uid, found.st_gid)
    attribute = os.open(f'{DEVICES}/{DEVICE}/vendor', os.O_RDONLY)
    os.fchmod(attribute, 0o400)
    os.fchown(attribute, -1, 56)
    found = os.stat(f'{DEVICES}/{DEVICE}/vendor')
    print('by descriptor:', oct(found.st_mode & 0o777), found.st_uid, found.st_gid)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(34, 34, 34)
        os.setresuid(99, 99, 99)
        print('a stranger in its group:', tried(os.open, node, os.O_RDONLY) != 'EACCES', tried(os.open, node, os.O_RDWR))
        print('and elsewhere:', tried(os.open, f'{DEVICES}/{DEVICE}/vendor', os.O_RDONLY), tried(os.chmod, node, 0o666), tried(os.chown, node, 99, -1), flush=True)
        os._exit(0)
    os.waitpid(child, 0)


def lists():
    """Each entry once, the host's and ours."""
    for directory, ours in (('/dev', 'vfio'), ('/sys', 'bus'), ('/sys/bus', 'pci'), ('/sys/kernel', 'iommu_groups')):
        names = os.listdir(directory)
        print(directory, ours in names, len(names) == len(set(names)), names == os.listdir(directory))
    here = os.open('/sys/bus', os.O_RDONLY | os.O_DIRECTORY)
    names = os.listdir(here)
    os.lseek(here, 0, os.SEEK_SET)
    print('again:', names == os.listdir(here), DEVICE in os.listdir(DEVICES))


def bounds():
    """openat2 and its bounds."""
    dev = os.open('/dev', os.O_RDONLY | os.O_DIRECTORY)
    devices = os.open(DEVICES, os.O_RDONLY | os.O_DIRECTORY)

    def open2(directory, path, resolve, flags=os.O_RDONLY, mode=0, size=24):
        how = ctypes.create_string_buffer(struct.pack('QQQ', flags, mode, resolve) + b'\1' * 8)
        result = syscall(437, directory, ctypes.c_char_p(path.encode()), how, size)
        return 'open' if isinstance(result, int) else result

    NO_XDEV, NO_LINKS, BENEATH, IN_ROOT = 1, 4, 8, 16
    print('beneath:', open2(dev, '../etc/passwd', BENEATH), open2(dev, '/vfio/vfio', BENEATH), open2(dev, 'vfio/vfio', BENEATH))
    print('in root:', open2(dev, '/vfio/vfio', IN_ROOT), open2(dev, '/../../vfio/vfio', IN_ROOT), open2(dev, '/etc/passwd', IN_ROOT))
    print('links:', open2(devices, f'{DEVICE}/vendor', NO_LINKS), open2(devices, f'{DEVICE}/vendor', BENEATH), open2(devices, f'{DEVICE}/vendor', 0))
    print('crossing:', open2(dev, '/dev/vfio/vfio', NO_XDEV), open2(dev, 'vfio/vfio', NO_XDEV))
    print('wrong:', open2(dev, 'vfio/vfio', 0x4000), open2(dev, 'vfio/vfio', 0, 1 << 30), open2(dev, 'vfio/vfio', BENEATH | IN_ROOT),
          open2(dev, 'vfio/vfio', 0, 0, 0o600), open2(dev, 'vfio/vfio', 0, 0, 0, 8), open2(dev, 'vfio/vfio', 0, 0, 0, 32))
    NAMED, CACHED, HALF_TMPFILE = os.O_PATH, 32, os.O_TMPFILE & ~os.O_DIRECTORY
    for path in ('null', 'vfio/vfio'):
        print('only named:', *(open2(dev, path, 0, NAMED | flags) for flags in (os.O_CLOEXEC | os.O_NOFOLLOW, os.O_RDWR, os.O_TRUNC, os.O_APPEND)),
              open2(dev, path, CACHED, NAMED | os.O_CREAT, 0o600), open2(dev, path, 0, HALF_TMPFILE | os.O_RDWR, 0))


def names():
    """Descriptors that only name something."""
    for path in (f'{DEVICES}/{DEVICE}', f'{DEVICES}/{DEVICE}/vendor', DEVICES):
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        kind = stat.S_IFMT(os.fstat(fd).st_mode) == stat.S_IFMT(os.lstat(path).st_mode)
        buffer = ctypes.create_string_buffer(200)
        length = libc.readlinkat(fd, b'', buffer, 200)
        target = buffer.value.decode() if length > 0 else errno.errorcode[ctypes.get_errno()]
        print(kind, tried(os.read, fd, 1), target == tried(os.readlink, path) or target)
        os.close(fd)


def uring():
    print('io_uring_setup:', syscall(425, 4, ctypes.create_string_buffer(120)))


def views():
    """A tree is where it is mounted, and nowhere else."""
    root = f'{scratch}/root'
    os.makedirs(f'{root}/dev/empty')
    child = os.fork()
    if child == 0:
        os.chroot(root)
        os.chdir('/')
        print('in a chroot:', os.listdir('/dev'), tried(os.stat, '/dev/vfio/vfio'), tried(os.stat, '/sys'), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
    libc.unshare(CLONE_NEWNS)
    libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None)
    print('in other mounts:', os.path.exists('/dev/vfio/vfio'))
    libc.mount(b'/dev', f'{root}/dev'.encode(), None, MS_BIND | MS_REC, None)
    child = os.fork()
    if child == 0:
        os.chroot(root)
        os.chdir('/')
        fd = tried(os.open, '/dev/vfio/vfio', os.O_RDWR)
        print('bound into a chroot:', isinstance(fd, int), 'vfio' in os.listdir('/dev'), tried(os.stat, '/dev/../etc/passwd'), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    libc.mount(b'none', b'/dev', b'tmpfs', 0, None)
    print('under another:', os.listdir('/dev'), tried(os.stat, '/dev/vfio/vfio'))


def shut():
    """In a chroot and without capabilities: what is not trapped finds no way out of a simulated directory."""
    root, beyond = f'{scratch}/shut', f'{scratch}/beyond'
    os.makedirs(f'{root}/sys')
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(beyond)
    libc.unshare(0x20000)
    libc.mount(b'none', b'/', None, 0x44000, None)
    libc.mount(b'/sys', f'{root}/sys'.encode(), None, 0x5000, None)
    os.chroot(root)
    os.chdir('/')
    syscall(126, struct.pack('<Ii', 0x20080522, 0), bytes(24))
    os.chdir(f'{DEVICES}/{DEVICE}')
    up = '../' * 16
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    target, nothing = (up + beyond[1:]).encode(), bytes(64)
    results = {
        'sendto': tried(client.sendto, b'', target),
        'sendmsg': tried(client.sendmsg, [b''], [], 0, target),
        'getxattrat': syscall(464, -100, target, 0, b'user.none', nothing, ctypes.c_long(16)),
        'listxattrat': syscall(465, -100, target, 0, nothing, 16),
        'open_tree_attr': syscall(467, -100, target, 0, None, ctypes.c_long(0)),
        'file_getattr': syscall(468, -100, target, nothing, 24, ctypes.c_long(0)),
        'open': tried(os.open, up + 'etc/passwd', os.O_RDONLY),
    }
    refused = {'EACCES', 'EPERM', 'ENOENT', 'ENOSYS', 'EINVAL'}
    print('ways out:', {name: result for name, result in results.items() if result not in refused})


def mounts():
    """Mounts with paths of the tree, and over it, in the namespace of the run, which is the test's own."""
    MS_BIND, AT_FDCWD, AT_EMPTY_PATH, OPEN_TREE_CLONE = 0x1000, -100, 0x1000, 1

    def mount(what, where, kind=None, flags=0):
        result = libc.mount(what.encode(), where.encode(), kind and kind.encode(), flags, None)
        return errno.errorcode[ctypes.get_errno()] if result < 0 else 'done'

    os.makedirs(f'{scratch}/place')
    here = os.open(DEVICES, os.O_RDONLY | os.O_DIRECTORY)
    os.chdir(DEVICES)
    print('over it:', mount('none', DEVICES, 'tmpfs'), mount('none', f'{DEVICES}/{DEVICE}', 'tmpfs'), mount('none', f'{DEVICES}/none', 'tmpfs'))
    print('elsewhere:', mount(DEVICES, f'{scratch}/place', None, MS_BIND), mount('.', f'{scratch}/place', None, MS_BIND))
    print('by a descriptor:', syscall(428, here, b'', AT_EMPTY_PATH | OPEN_TREE_CLONE), syscall(428, AT_FDCWD, DEVICE.encode(), OPEN_TREE_CLONE))
    print('ended:', syscall(166, DEVICES.encode(), 0), syscall(155, b'.', b'.'))
    os.chdir('/')
    print('of the host:', mount('none', f'{scratch}/place', 'tmpfs'), syscall(166, f'{scratch}/place'.encode(), 0))
    print('still there:', text(f'{DEVICES}/{DEVICE}/vendor'), os.path.exists('/dev/vfio/vfio'))
    print('over the rest:', mount('none', '/sys/bus', 'tmpfs'), os.listdir('/sys/bus'), text(f'{DEVICES}/{DEVICE}/vendor'), os.path.exists('/sys/kernel/iommu_groups'))
    print('over /dev:', mount('none', '/dev', 'tmpfs'), os.listdir('/dev'), tried(os.stat, '/dev/vfio/vfio'), text(f'/dev/../proc/self/comm'))
    print('and gone:', syscall(166, b'/dev', 0), os.path.exists('/dev/vfio/vfio'), syscall(166, b'/sys/bus', 0), text(f'{DEVICES}/{DEVICE}/vendor'))


globals()[sys.argv[1]]()

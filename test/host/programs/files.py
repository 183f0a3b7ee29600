"""What open, stat, access and directories say of simulated files, as Linux says it. One line an observation."""
import atexit, ctypes, errno, fcntl, os, shutil, stat, struct, subprocess, sys, tempfile, threading
from observing import libc, tried

DEVICES = '/sys/bus/pci/devices'
DEVICE = f'{DEVICES}/0000:00:04.0'
NEITHER = 3
scratch = tempfile.mkdtemp(prefix='files-')
atexit.register(shutil.rmtree, scratch, ignore_errors=True)


def modes():
    """Each access mode: what fcntl says of it, and whether it reads and writes."""
    (cdev,) = os.listdir(f'{DEVICE}/vfio-dev')
    for path in (f'{DEVICE}/driver_override', f'{DEVICE}/config', f'{DEVICE}/resource0', f'/dev/vfio/devices/{cdev}', '/dev/null'):
        said = []
        for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, NEITHER, NEITHER | os.O_DIRECTORY):
            fd = tried(os.open, path, mode)
            if isinstance(fd, str):
                said.append(fd)
                continue
            reads, writes = tried(os.pread, fd, 4, 0) != 'EBADF', tried(os.pwrite, fd, b'', 0) != 'EBADF'
            said.append(f"{fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE}{'r' * reads}{'w' * writes}")
            os.close(fd)
        print(path.rsplit('/', 1)[1].rstrip('0123456789'), *said)
    print('a directory', tried(os.open, '/dev/vfio', NEITHER), tried(os.open, '/sys/bus', NEITHER))
    nobody_writes, nobody_reads = f'{DEVICE}/vendor', '/sys/bus/pci/drivers_probe'
    is_root = os.access(nobody_writes, os.W_OK)
    for path in (nobody_writes, nobody_reads):
        got = tried(os.open, path, NEITHER)
        print(path.rsplit('/', 1)[1], tried(os.open, path, os.O_RDWR), isinstance(got, int) if is_root else got == 'EACCES')


def twice():
    """An attribute is written whole, wherever the position is."""
    fd = os.open(f'{DEVICE}/driver_override', os.O_RDWR)
    print('written:', os.write(fd, b'one\n'), os.write(fd, b'other\n'), os.pwrite(fd, b'third\n', 100))
    print('read:', open(f'{DEVICE}/driver_override').read().strip())


def long():
    """As much as a page has room for beside its end, whatever the program writes it with."""
    path = f'{DEVICE}/driver_override'
    fd = os.open(path, os.O_WRONLY)
    for length in (256, 257, 4000, 4095):
        print(length, tried(os.write, fd, b'x' * length), len(open(path).read().strip()))
    print('ids:', tried(os.write, os.open('/sys/bus/pci/drivers/pci-stub/new_id', os.O_WRONLY), b'1234 5678'.ljust(300)))


def directories():
    """Links, types and numbers of directories agree: what find(1) and ftw(3) go by."""
    for top in ('/dev/vfio', '/sys/bus/pci', '/sys/kernel/iommu_groups', '/sys/devices/pci0000:00', '/proc/bus/pci'):
        wrong = []
        for directory, _, _ in os.walk(top):
            entries = list(os.scandir(directory))
            for entry in entries:
                found = os.lstat(entry.path)
                kind = (entry.is_dir(follow_symlinks=False), entry.is_symlink(), entry.is_file(follow_symlinks=False))
                if entry.inode() != found.st_ino or kind != (stat.S_ISDIR(found.st_mode), stat.S_ISLNK(found.st_mode), stat.S_ISREG(found.st_mode)):
                    wrong.append(entry.path)
            links = os.stat(directory).st_nlink
            if links != 2 + sum(entry.is_dir(follow_symlinks=False) for entry in entries):
                wrong.append(f'{directory}: {links} links')
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            if os.fstat(fd).st_nlink != links or os.stat(directory).st_ino != os.fstat(fd).st_ino:
                wrong.append(f'{directory}: by descriptor')
            os.close(fd)
        print(top, wrong[:3])
    print('a file:', os.stat(f'{DEVICE}/vendor').st_nlink, os.stat('/dev/vfio/vfio').st_nlink, os.lstat(DEVICE).st_nlink)


def unmounted():
    """What is simulated of /proc and /lib/modules, which no mount shows: found by every call."""
    modules = f'/lib/modules/{os.uname().release}'
    for path in ('/proc/modules', '/proc/misc', '/proc/bus/pci/devices', '/proc/bus/pci/00/04.0', modules):
        parent, name = path.rsplit('/', 1)
        print(path.replace(os.uname().release, 'RELEASE'), os.path.exists(path), os.access(path, os.R_OK), name in os.listdir(parent))
    os.chdir('/proc/bus/pci/00')
    print('there:', os.getcwd(), os.path.exists('04.0'), os.path.exists('../../../modules'), os.path.realpath('..'))
    print('changed:', tried(os.mkdir, '../x') in ('EACCES', 'EPERM'), tried(os.unlink, '04.0') in ('EACCES', 'EPERM'))
    os.mkdir(f'../../../..{scratch}/made')
    os.rename(f'{scratch}/made', f'../../../..{scratch}/moved')
    print('and out of it:', os.listdir(scratch))


def resolve():
    """Each bound of openat2(2), from simulated directories, from those both have and from the host's."""
    os.chdir('/')
    os.symlink(DEVICE, f'{scratch}/link')
    opened = f"fd/{os.open('/etc/passwd', os.O_RDONLY)}"
    NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT, CACHED = (1 << n for n in range(6))

    def open2(directory, path, bounds):
        how = struct.pack('QQQ', os.O_RDONLY, 0, bounds)
        fd = libc.syscall(437, directory, ctypes.c_char_p(path.encode()), how, len(how))
        if fd < 0:
            return errno.errorcode[ctypes.get_errno()]
        os.close(fd)
        return 'ok'

    for directory, path in (
        ('/dev', 'vfio/vfio'), ('/dev', '../dev/vfio/vfio'), ('/dev', '/vfio/vfio'), ('/dev', opened),
        ('/dev/vfio', 'vfio'), ('/dev/vfio', '../vfio/vfio'), ('/dev/vfio', '../../etc/passwd'),
        (DEVICES, '0000:00:04.0/vendor'), (DEVICE, 'vendor'), (DEVICE, 'driver/module'), (DEVICE, '../../../../etc/passwd'), (DEVICE, 'none'),
        ('/sys', 'bus/pci/devices/0000:00:04.0/vendor'), ('/sys', 'kernel/iommu_groups/0/type'),
        ('/', 'dev/vfio/vfio'), ('/', 'sys/bus/pci/devices/0000:00:04.0/vendor'), ('/', 'proc/bus/pci/devices'), ('/', '/proc/self/cwd/dev/vfio/vfio'), ('/', 'etc/passwd'),
        (scratch, 'link/vendor'), ('/etc', '../dev/vfio/vfio'), ('/etc', 'passwd'),
    ):
        at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        said = [open2(at, path, bound) for bound in (0, NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT)]
        cached = open2(at, path, CACHED)
        if cached not in (said[0], 'EAGAIN'):
            said.append(cached)
        print(directory.replace(DEVICE, 'DEVICE').replace(DEVICES, 'DEVICES').replace(scratch, 'SCRATCH'), path.replace('0000:00:04.0', 'DEVICE').replace(opened, 'fd/N'), *said)
        os.close(at)


def threads():
    """Threads with a directory, a root and descriptors of their own, and with those of all."""
    CLONE_FS, CLONE_FILES, VFIO_GET_API_VERSION = 0x200, 0x400, 0x3B64

    def in_thread(run):
        said = []
        thread = threading.Thread(target=lambda: said.append(run()))
        thread.start()
        thread.join()
        return said[0]

    def text(path):
        return tried(lambda: open(path).read().strip())

    def own_directory():
        libc.unshare(CLONE_FS)
        os.chdir(DEVICE)
        return os.getcwd() == os.path.realpath(DEVICE), text('vendor'), text('../../../../etc/passwd') != 'ENOENT'

    def common_directory():
        os.chdir(DEVICES)

    def own_root():
        libc.unshare(CLONE_FS)
        os.makedirs(f'{scratch}/root/sys')
        if tried(os.chroot, f'{scratch}/root') == 'EPERM':
            return 'ENOENT', 'ENOENT'
        os.chdir('/')
        return tried(os.stat, '/dev/vfio/vfio'), text(f'{DEVICE}/vendor')

    def own_descriptors():
        libc.unshare(CLONE_FILES)
        fd = os.open('/dev/vfio/vfio', os.O_RDWR)
        return fd, fcntl.ioctl(fd, VFIO_GET_API_VERSION)

    os.chdir('/')
    print('a directory of its own:', *in_thread(own_directory), os.getcwd(), os.path.exists('dev/vfio/vfio'))
    in_thread(common_directory)
    print('of all:', os.getcwd(), text('0000:00:04.0/vendor'))
    print('a root of its own:', *in_thread(own_root), text(f'{DEVICE}/vendor'), os.path.exists('0000:00:04.0'))
    fd, version = in_thread(own_descriptors)
    print('descriptors of its own:', version, tried(os.fstat, fd), tried(fcntl.ioctl, fd, VFIO_GET_API_VERSION))


def descriptors():
    """What would change the file system behind the descriptor of a directory."""
    FIGETBSZ, GETFLAGS, SETFLAGS, FSGETXATTR, FSSETXATTR, FITRIM = 2, 0x80086601, 0x40086602, 0x801C581F, 0x401C5820, 0xC0185879
    GETVERSION, FIFREEZE, FITHAW, GETUUID = 0x80087601, 0xC0045877, 0xC0045878, 0x80111500
    F_SETDELEG, QUOTACTL_FD, MOVE_MOUNT, FSPICK, FSOPEN, FSMOUNT, FSCONFIG = 1040, 443, 429, 433, 430, 432, 431
    AT_FDCWD, EMPTY, LINKAT = -100, 0x1000, 265

    def called(number, *args):
        rc = libc.syscall(number, *args)
        return rc if rc >= 0 else errno.errorcode[ctypes.get_errno()]

    refused = ('EPERM', 'ENOTSUP', 'EINVAL')  # as rights are
    for path in (f'{DEVICE}/..', '/dev/vfio', '/proc/bus/pci'):
        fd, named = os.open(path, os.O_RDONLY), os.open(path, os.O_PATH)
        said = [tried(fcntl.ioctl, fd, command, bytes(64)) for command in (GETFLAGS, SETFLAGS, FSGETXATTR, FSSETXATTR, FITRIM, GETVERSION, GETUUID)]
        frozen = [tried(fcntl.ioctl, fd, command, 0) in refused for command in (FIFREEZE, FITHAW)]
        print(path.rsplit('/', 1)[1], *said, 'not frozen:', *frozen, 'block:', isinstance(tried(fcntl.ioctl, fd, FIGETBSZ, bytes(4)), bytes))
        print('delegation:', tried(fcntl.fcntl, fd, F_SETDELEG, bytes(8)), 'quota:', called(QUOTACTL_FD, fd, 0x80000800, 0, None),
              called(QUOTACTL_FD, fd, 0x800007FF, 0, None), 'only named:', tried(fcntl.ioctl, named, SETFLAGS, bytes(8)))
        print('link:', called(LINKAT, named, b'', AT_FDCWD, f'{scratch}/link'.encode(), EMPTY) in ('EXDEV', 'ENOENT'), os.listdir(scratch))
    mount = called(FSOPEN, b'tmpfs', 0)
    if not isinstance(mount, str):
        called(FSCONFIG, mount, 6, None, None, 0)
        mount = called(FSMOUNT, mount, 0, 0)
    moved = mount if isinstance(mount, str) else called(MOVE_MOUNT, mount, b'', fd, b'', 0x44)
    print('mounted over:', moved not in ('EPERM', 'EBUSY'), 'changed:', called(FSPICK, fd, b'', 8) not in ('EPERM', 'EBUSY'))


def vfork():
    """A child of vfork(2) goes to a simulated directory and becomes another program; its parent stays where it is."""
    os.chdir('/')
    for run in (['cat', 'vendor'], ['sh', '-c', 'cd ..; pwd; cat */vendor | sort -u | tail -1']):
        print(*subprocess.run(run, cwd=DEVICE, capture_output=True, text=True).stdout.split(), os.getcwd())


def filtered():
    """With a seccomp filter of one's own, which a call of softiommu's meets."""
    FCHDIR, ALLOW = 81, 0x7FFF0000
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, FCHDIR), (0x06, 0, 0, int(sys.argv[2], 0)), (0x06, 0, 0, ALLOW)]
    lines = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in code))
    libc.prctl(38, 1, 0, 0, 0)
    libc.prctl(22, 2, struct.pack('HxxxxxxQ', len(code), ctypes.addressof(lines)))
    print('before', flush=True)
    print('after:', tried(os.chdir, DEVICE), os.getcwd())


globals()[sys.argv[1]]()

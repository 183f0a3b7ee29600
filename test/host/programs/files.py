"""What open, stat, access and directories say of simulated files, as Linux says it. One line an observation."""
import atexit, errno, fcntl, os, shutil, stat, sys, tempfile

DEVICES = '/sys/bus/pci/devices'
DEVICE = f'{DEVICES}/0000:00:04.0'
NEITHER = 3
scratch = tempfile.mkdtemp(prefix='files-')
atexit.register(shutil.rmtree, scratch, ignore_errors=True)


def tried(call, *args, **named):
    try:
        return call(*args, **named)
    except OSError as error:
        return errno.errorcode[error.errno]


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


globals()[sys.argv[1]]()

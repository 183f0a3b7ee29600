"""Links of the host that lead into the simulated tree. One line an observation."""
import atexit, os, shutil, stat, sys, tempfile

from observing import libc, text, tried

DEVICE = '/sys/bus/pci/devices/0000:00:04.0'
scratch = tempfile.mkdtemp(prefix='links-')
atexit.register(lambda owner=os.getpid(): owner == os.getpid() and shutil.rmtree(scratch, ignore_errors=True))


def link(target, name):
    os.symlink(target, f'{scratch}/{name}')
    return f'{scratch}/{name}'


def in_child(run):
    child = os.fork()
    if child == 0:
        try:
            run()
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def followed():
    """Absolute and relative ones, one through another, to nodes, directories and what both have."""
    device, iommu, top = link(DEVICE, 'device'), link('/dev/iommu', 'iommu'), link('/sys', 'top')
    chain = link('device/vendor', 'chain')
    link('loop', 'loop')
    out = link(f'../{"../" * scratch.count("/")}sys/bus/pci', 'out')
    print('read:', text(f'{device}/vendor'), text(chain), text(f'{top}{DEVICE[4:]}/vendor'), text(f'{out}/devices/0000:00:04.0/vendor'))
    print('opened:', os.readlink(f'/proc/self/fd/{os.open(iommu, os.O_RDWR)}'), tried(os.open, iommu, os.O_RDWR | os.O_NOFOLLOW))
    print('stat:', os.stat(iommu).st_rdev == os.stat('/dev/iommu').st_rdev != 0, os.path.samefile(device, DEVICE), stat.S_ISLNK(os.lstat(iommu).st_mode), os.readlink(iommu))
    print('access:', os.access(f'{device}/vendor', os.R_OK), os.path.exists(f'{device}/none'), text(f'{scratch}/loop'))
    os.chdir(scratch)
    print('relative:', text('chain'), text('./device/../0000:00:04.0/vendor'), text('device/../../../bus/pci/devices/0000:00:04.0/vendor'))
    here = os.open('.', os.O_RDONLY | os.O_DIRECTORY)
    print('beside:', len(os.listdir('device')) == len(os.listdir(DEVICE)), isinstance(os.open('chain', os.O_RDONLY, dir_fd=here), int))
    os.chdir('device')
    print('gone to:', os.getcwd() == os.path.realpath(DEVICE), text('vendor'))
    denied = ('EPERM', 'EACCES')
    print('changed:', tried(os.mkdir, f'{top}/bus/pci/x') in denied, tried(os.unlink, f'{device}/vendor') in denied, tried(os.rename, f'{device}/vendor', f'{scratch}/x'), tried(os.rename, f'{device}/x', f'{device}/y'))
    os.unlink(chain)
    os.symlink('/etc/hostname', chain)
    print('and elsewhere:', stat.S_ISREG(os.stat(chain).st_mode), os.path.exists(link('/nowhere', 'nowhere')), os.path.isdir(link('/sys/kernel', 'kernel')))
    print('of /proc:', text(link('/proc/bus/pci/devices', 'listed')) != 'ENOENT', text(link('/proc/self/comm', 'comm')))


def forbidden():
    """A link that its caller may not reach or follow is as the host says. Started by root."""
    closed = f'{scratch}/closed'
    os.mkdir(closed, 0o700)
    os.chmod(scratch, 0o755)
    link(DEVICE, 'closed/device')

    def as_nobody():
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        print('behind a closed door:', text(f'{closed}/device/vendor'), tried(os.stat, f'{closed}/device/none'), text(f'{scratch}/open/vendor'))

    link(DEVICE, 'open')
    in_child(as_nobody)
    sticky = f'{scratch}/sticky'
    os.mkdir(sticky)
    os.chmod(sticky, 0o1777)
    os.lchown(link(DEVICE, 'sticky/device'), 12, 12)
    with open('/proc/sys/fs/protected_symlinks') as file:
        protected = file.read().strip() == '1'
    print('of another, where everybody writes:', text(f'{sticky}/device/vendor') == ('EACCES' if protected else '0x1234'))


def elsewhere():
    """In a chroot, which has some of the tree. Started by root."""
    root = f'{scratch}/root'
    os.makedirs(f'{root}/sys')
    os.makedirs(f'{root}/dev')
    CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
    link(DEVICE, 'root/device')
    link('/dev/iommu', 'root/iommu')
    link('../../../../../sys/bus/pci', 'root/out')

    def inside():
        # Mounts of the child's own: nobody else finds /sys in what is removed at the end.
        libc.unshare(CLONE_NEWNS)
        libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None)
        libc.mount(b'/sys', f'{root}/sys'.encode(), None, MS_BIND | MS_REC, None)
        print('from outside of it:', text(f'{root}/device/vendor'), isinstance(tried(os.open, f'{root}/iommu', os.O_RDWR), int))
        os.chroot(root)
        os.chdir('/')
        print('in a chroot:', text('/device/vendor'), text('device/vendor'), text('/out/devices/0000:00:04.0/vendor'), tried(os.open, '/iommu', os.O_RDWR), tried(os.open, '/dev/iommu', os.O_RDWR))

    in_child(inside)


globals()[sys.argv[1]]()

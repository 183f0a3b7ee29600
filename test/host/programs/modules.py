"""What a program sees of the kernel's modules and of PCI outside of /dev and /sys: one line for each question."""
import ctypes
import errno
import mmap
import os
import sys

from observing import libc, tried


def text(path):
    with open(path, 'rb') as file:
        return file.read()


release = os.uname().release
directory = f'/lib/modules/{release}'
mounted = sys.argv[1] == 'namespace'

fd = os.open(f'{directory}/modules.dep.bin', os.O_RDONLY)
size = os.fstat(fd).st_size
with mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ) as index:
    print('the index, mapped:', index[:8].hex(), index[:] == text(f'/usr/lib/modules/{release}/modules.dep.bin'))
print('mapped to write:', tried(mmap.mmap, fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
print('a module:', text(f'{directory}/kernel/drivers/vfio/pci/vfio-pci.ko')[:4])
here = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
print('listed:', sorted(name for name in os.listdir(here) if not name.endswith('.bin')))
print('from the directory:', os.read(os.open('modules.order', os.O_RDONLY, dir_fd=here), 11))
print('out of it:', os.read(os.open('../../../proc/bus/pci/../../modules', os.O_RDONLY, dir_fd=here), 10))
print('written:', tried(open, f'{directory}/modules.dep', 'w') if os.getuid() else 'EACCES')


def removed(name):
    return libc.syscall(176, name, os.O_NONBLOCK) and errno.errorcode[ctypes.get_errno()]


print('removed:', removed(b'vfio'), removed(b'vfio_pci'))
print('not there:', tried(open, '/proc/bus/pci/ff'), tried(open, f'{directory}/modules.softdep'))
bus = os.open('/proc/bus/pci', os.O_RDONLY | os.O_DIRECTORY)
print('buses:', sorted(os.listdir(bus)), os.listdir('/proc/bus/pci/00'))
function = os.open('00/04.0', os.O_RDONLY, dir_fd=bus)
print('a function:', os.read(function, 4).hex(), os.fstat(function).st_size)
print('by a link:', os.readlink(f'/proc/self/fd/{bus}'), hex(os.fstat(bus).st_mode))
if mounted:
    print('seen by name: -')
else:
    seen = [os.stat(path) for path in ('/proc/modules', '/proc/bus/pci/00/04.0', f'{directory}/modules.dep.bin')]
    print('seen by name:', [(oct(each.st_mode), each.st_uid) for each in seen], seen[2].st_size == size)
    print('in their directories:', {'modules', 'misc', 'devices', 'bus'} <= set(os.listdir('/proc')), os.path.isdir(directory))
    os.chdir('/proc')
    print('from /proc:', text('modules').split()[0], tried(os.mkdir, '/proc/bus/pci/x') in ('EPERM', 'EACCES'))

"""Map 64 KiB for a device and say what came of it."""
import ctypes
import errno
import fcntl
import mmap
import os
import struct

SIZE = 0x10000
(name,) = os.listdir("/sys/bus/pci/devices/0000:00:04.0/vfio-dev")
device = os.open("/dev/vfio/devices/" + name, os.O_RDWR)
iommufd = os.open("/dev/iommu", os.O_RDWR)


def ask(fd, command, layout, *values):
    data = bytearray(struct.pack(layout, struct.calcsize(layout), *values))
    fcntl.ioctl(fd, command, data)
    return struct.unpack(layout, data)


ask(device, 0x3B76, "=IIiI", 0, iommufd, 0)
ioas = ask(iommufd, 0x3B81, "=III", 0, 0)[2]
ask(device, 0x3B77, "=III", 0, ioas)
memory = mmap.mmap(-1, SIZE)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
try:
    ask(iommufd, 0x3B85, "=IIIIQQQ", 7, ioas, 0, address, SIZE, SIZE)
    print("mapped")
except OSError as error:
    print(errno.errorcode[error.errno])

import resource

CHOSEN = resource.getrlimit(resource.RLIMIT_MEMLOCK)
print("limit:", *CHOSEN)
with open("/proc/self/limits") as limits:
    print(*next(line for line in limits if line.startswith("Max locked memory")).split())


def tried(limit):
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, limit)
    except (OSError, ValueError) as error:
        return type(error).__name__
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)


print("lowered:", tried((4096, 8192)), tried((16384, 8192)))
child = os.fork()
if child == 0:
    print("inherited:", *resource.getrlimit(resource.RLIMIT_MEMLOCK), *resource.prlimit(os.getppid(), resource.RLIMIT_MEMLOCK), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("others:", *resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE) == resource.getrlimit(resource.RLIMIT_NOFILE) and ["same"])

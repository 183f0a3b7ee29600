"""Map 64 KiB for a device and say what came of it."""
import ctypes
import errno
import fcntl
import mmap
import os
import struct
import sys

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


def asked():
    """The limit of a process, by itself."""
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)


def forked(run):
    """A child that waits to be told, and what it has said then."""
    go, said = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.read(go[0], 1)
        os.write(said[1], repr(run()).encode())
        os._exit(0)

    def result():
        os.write(go[1], b"!")
        answer = os.read(said[0], 100).decode()
        os.waitpid(child, 0)
        return answer

    return result


def below():
    """Its own child, which has never been asked before."""
    grandchild = forked(asked)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (1024, 8192))
    return grandchild(), asked()


if "forks" in sys.argv:
    early, between = forked(asked), forked(below)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (2048, 8192))
    late = forked(asked)
    print("at the fork:", early(), between(), late())
    orphans = os.pipe()
    if os.fork() == 0:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (512, 8192))
        begun = os.pipe()
        os.write(begun[1], str(os.getpid()).encode())
        if os.fork() == 0:
            parent = os.read(begun[0], 10)
            while str(os.getppid()).encode() == parent:
                os.sched_yield()
            os.write(orphans[1], repr(asked()).encode())
        os._exit(0)
    os.wait()
    print("of a parent that has ended:", os.read(orphans[0], 100).decode())

if "capabilities" in sys.argv:
    libc = ctypes.CDLL(None)

    def effective():
        """The lower word of the effective set, by capget(2)."""
        data = ctypes.create_string_buffer(24)
        libc.syscall(125, struct.pack("Ii", 0x20080522, 0), data)
        return hex(struct.unpack_from("I", data)[0])

    early = forked(effective)
    libc.syscall(126, struct.pack("Ii", 0x20080522, 0), struct.pack("IIIIII", 1, 1, 0, 0, 0, 0))
    late = forked(effective)
    print("capabilities at the fork:", early(), late(), effective())

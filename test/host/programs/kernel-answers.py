"""What Linux answers where a simulated kernel is easily wrong: one line each, 'what: answer'."""
import ctypes
import errno
import fcntl
import mmap
import os
import struct
import sys

EDU = "/sys/bus/pci/devices/0000:00:04.0"
GET_INFO, GET_REGION_INFO, GET_IRQ_INFO, RESET, BIND = 0x3B6B, 0x3B6C, 0x3B6D, 0x3B6F, 0x3B76
SYSFS_MAGIC, TMPFS_MAGIC = 0x62656572, 0x01021994
libc = ctypes.CDLL(None, use_errno=True)


def say(what, run, *arguments):
    try:
        answer = run(*arguments)
    except OSError as error:
        answer = errno.errorcode[error.errno]
    print(f"{what}: {answer}", flush=True)


def ask(fd, command, layout, *values):
    data = bytearray(struct.pack(layout, struct.calcsize(layout), *values))
    fcntl.ioctl(fd, command, data)
    return struct.unpack(layout, data)


def magic(path):
    data = ctypes.create_string_buffer(256)
    fd = os.open(path, os.O_RDONLY)
    by_name = libc.statfs(path.encode(), data) or int.from_bytes(data[:8], "little")
    by_descriptor = libc.fstatfs(fd, data) or int.from_bytes(data[:8], "little")
    os.close(fd)
    return f"{by_name:#x} {by_descriptor:#x}"


def mode_and_target(directory, name):
    link = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
    return f"{os.fstat(link).st_mode:o} {os.readlink('', dir_fd=link)}"


def write(path, data):
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


def first(path):
    with open(path) as file:
        return file.readline().strip()


def register(path):
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, 4096, mmap.MAP_SHARED) as bar:
        return f"{int.from_bytes(bar[0:4], 'little'):#x} {os.fstat(fd).st_size:#x}"


(name,) = os.listdir(EDU + "/vfio-dev")
container = os.open("/dev/vfio/vfio", os.O_RDWR)
device = os.open("/dev/vfio/devices/" + name, os.O_RDWR)
say("another type on a container", fcntl.ioctl, container, 0x78B1)
say("another type on an unbound cdev", fcntl.ioctl, device, 0x78B1)
iommufd = os.open("/dev/iommu", os.O_RDWR)
say("another type on an iommufd", fcntl.ioctl, iommufd, 0x78B1)
ask(device, BIND, "=IIiI", 0, iommufd, 0)
say("another type on a bound cdev", fcntl.ioctl, device, 0x78B1)
say("flags", lambda: ask(device, GET_INFO, "=IIIIII", 0, 0, 0, 0, 0)[1])
say("reset", fcntl.ioctl, device, RESET)
say("reset files", lambda: [n for n in os.listdir(EDU) if n in ("reset", "reset_method")])
say("BAR 0 is at", lambda: ask(device, GET_REGION_INFO, "=IIIIQQ", 0, 0, 0, 0, 0)[5])
say("BAR 0 by pread", lambda: os.pread(device, 4, 0).hex())
say("BAR 0 by read", lambda: os.read(device, 4).hex())
say("what follows", lambda: (os.write(device, bytes(4)), os.pread(device, 4, 4).hex()))
say("MSI-X that is not there", lambda: ask(device, GET_IRQ_INFO, "=IIII", 0, 2, 0)[1:])
bar = mmap.mmap(device, 4096, mmap.MAP_SHARED, offset=0)
say("BAR 0 mapped at 0", lambda: bar[0:4].hex())
for path in (EDU, EDU + "/vendor", "/sys/kernel/iommu_groups", "/dev/vfio", "/dev/iommu"):
    say("file system of " + path, magic, path)
directory = os.open("/sys/bus/pci/devices", os.O_PATH | os.O_DIRECTORY)
say("a link by itself", mode_and_target, directory, "0000:00:04.0")
say("a link not followed", os.open, EDU, os.O_RDONLY | os.O_NOFOLLOW)
say("a new file in sysfs", os.open, "/sys/bus/pci/new", os.O_CREAT | os.O_WRONLY)
say("nothing to driver_override", write, EDU + "/driver_override", b"")
say("driver_override", first, EDU + "/driver_override")
say("resource0", register, EDU + "/resource0")
say("resource0 read", lambda: os.pread(os.open(EDU + "/resource0", os.O_RDONLY), 4, 0))
say("/sys/dev/char", os.path.realpath, "/sys/dev/char/10:126")
say("/sys/class/misc", first, "/sys/class/misc/vfio/dev")
say("a module", first, "/sys/module/vfio_pci/initstate")
say("vfio_pci in /proc/modules", lambda: [l.split()[1] for l in open("/proc/modules") if l.startswith("vfio_pci ")])
say("iommu in /proc/misc", lambda: [l.split() for l in open("/proc/misc") if l.endswith(" iommu\n")])
say("vfio in /proc/devices", lambda: [l.split() for l in open("/proc/devices") if " vfio" in l])
say("/proc/bus/pci", lambda: [l.split()[1] for l in open("/proc/bus/pci/devices")])
memfd = os.memfd_create("kept")
os.ftruncate(memfd, 4096)
reader = os.open(f"/proc/self/fd/{memfd}", os.O_RDONLY)
ioas = ask(iommufd, 0x3B81, "=III", 0, 0)[2]
for flags, what in ((5, "reads"), (3, "writes")):
    values = (flags, ioas, reader, 0, 4096, 0x10000)
    say("a device that " + what + " a file to read", lambda: ask(iommufd, 0x3B8F, "=IIIiQQQ", *values)[0])

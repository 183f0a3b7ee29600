"""A device without an IOMMU through its cdev: what the selftest posted with the series does, and DMA at the addresses told."""
import ctypes
import errno
import fcntl
import mmap
import os
import struct
import sys
import time

IOMMU_DESTROY, IOMMU_IOAS_ALLOC, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP = 0x3B80, 0x3B81, 0x3B85, 0x3B86
IOMMU_IOAS_NOIOMMU_GET_PA = 0x3B95
DEVICE_GET_INFO, DEVICE_GET_REGION_INFO, DEVICE_RESET = 0x3B6B, 0x3B6C, 0x3B6F
BIND, ATTACH, DETACH = 0x3B76, 0x3B77, 0x3B78
PAGE = 4096
CDEV = "/dev/vfio/devices/noiommu-vfio0"


def call(fd, command, layout, *values):
    """The struct after the call, or the name of the errno."""
    data = bytearray(struct.pack(layout, *values))
    try:
        fcntl.ioctl(fd, command, data)
    except OSError as error:
        return errno.errorcode[error.errno]
    return struct.unpack(layout, data)


def say(name, value):
    print(f"{name}: {value}", flush=True)


def done(answer):
    return answer if isinstance(answer, str) else "ok"


try:
    device = os.open(CDEV, os.O_RDWR)
except OSError as error:
    say("open", errno.errorcode[error.errno])
    sys.exit(0)
say("open", "ok")
iommu = os.open("/dev/iommu", os.O_RDWR)


def bind(fd):
    return call(device, BIND, "=IIiI", 16, 0, fd, 0)


def attach(pt):
    return call(device, ATTACH, "=III", 12, 0, pt)


def info():
    return done(call(device, DEVICE_GET_INFO, "=IIIII", 20, 0, 0, 0, 0))


say("info before bind", info())
say("bind to -1", done(bind(-1)))
say("bind to 999", done(bind(999)))
say("bind to a directory", done(bind(os.open("/", os.O_RDONLY))))
devid = bind(iommu)[3]
say("device id", devid)
say("bind again", done(bind(iommu)))
say("info", info())
ioas = call(iommu, IOMMU_IOAS_ALLOC, "=III", 12, 0, 0)[2]
say("attach to nothing", done(attach(0xFFFFFFFF)))
say("attach to itself", done(attach(devid)))
say("attach", done(attach(ioas)))
say("destroy while attached", done(call(iommu, IOMMU_DESTROY, "=II", 8, ioas)))
say("detach", done(call(device, DETACH, "=II", 8, 0)))
say("detach again", done(call(device, DETACH, "=II", 8, 0)))
say("attach again", done(attach(ioas)))
say("reset", done(call(device, DEVICE_RESET, "")))
region = call(device, DEVICE_GET_REGION_INFO, "=IIIIQQ", 32, 0, 0, 0, 0, 0)
say("region 0", f"{region[4]:#x}")


def get_pa(iova, length):
    answer = call(iommu, IOMMU_IOAS_NOIOMMU_GET_PA, "=IIIIQQQ", 40, 0, ioas, 0, iova, length, 0)
    return answer if isinstance(answer, str) else (answer[6], answer[5])


memory = mmap.mmap(-1, 8 * PAGE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
memory[:] = bytes(n // PAGE + 1 for n in range(8 * PAGE))
va = ctypes.addressof(ctypes.c_char.from_buffer(memory))
IOVA = 0x40000000
for pages in (1, 2, 4, 8):
    size = pages * PAGE
    mapped = call(iommu, IOMMU_IOAS_MAP, "=IIIIQQQ", 40, 7, ioas, 0, va, size, IOVA)
    found, at = 0, IOVA
    while at < IOVA + size:
        _, length = get_pa(at, size)
        found, at = found + length, at + length
    say(f"map {pages}", (done(mapped), found == size, get_pa(IOVA + size, 1)))
    if pages < 8:
        call(iommu, IOMMU_IOAS_UNMAP, "=IIQQ", 24, ioas, IOVA, size)
pa, whole = get_pa(IOVA + 0x80, 0xFFFFFFFFFFFFFFFF)
say("inside a page", (pa % PAGE, (pa + whole) % PAGE))
say("length 0", get_pa(IOVA, 0))
say("length 1", get_pa(IOVA, 1)[1])


def config(offset, data):
    window = call(device, DEVICE_GET_REGION_INFO, "=IIIIQQ", 32, 0, 7, 0, 0, 0)[5]
    os.pwrite(device, data, window + offset)


def register(offset, value, width=8):
    os.pwrite(device, value.to_bytes(width, "little"), region[5] + offset)


def dma(source, destination, command):
    register(0x80, source)
    register(0x88, destination)
    register(0x90, PAGE)
    register(0x98, command)
    while int.from_bytes(os.pread(device, 8, region[5] + 0x98), "little") & 1:
        time.sleep(0.01)


config(4, struct.pack("<H", 6))
first, last = get_pa(IOVA, 1)[0], get_pa(IOVA + 7 * PAGE, 1)[0]
dma(first, 0x40000, 1)
dma(0x40000, last, 3)
say("the device copied page 0 to page 7", memory[7 * PAGE :] == memory[:PAGE] == b"\x01" * PAGE)
os.close(iommu)
say("closed first, it stays bound", info())

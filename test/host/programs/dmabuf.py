"""Registers of one device reached by another: a BAR as a dma-buf, mapped into the other's IOAS."""
import ctypes
import errno
import fcntl
import mmap
import os
import struct
import time

IOMMU_IOAS_ALLOC, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP, IOMMU_IOAS_MAP_FILE = 0x3B81, 0x3B85, 0x3B86, 0x3B8F
DEVICE_GET_REGION_INFO, DEVICE_FEATURE, BIND, ATTACH = 0x3B6C, 0x3B75, 0x3B76, 0x3B77
GET, DMA_BUF = 1 << 16, 11
PAGE, IOVA, MEMORY = 4096, 0x200000, 0x800000


def call(fd, command, layout, *values):
    """The result and the struct after the call, or the name of the errno."""
    data = bytearray(struct.pack(layout, *values))
    try:
        result = fcntl.ioctl(fd, command, data)
    except OSError as error:
        return errno.errorcode[error.errno], values
    return result, struct.unpack(layout, data)


def say(name, value):
    print(f"{name}: {value}", flush=True)


iommu = os.open("/dev/iommu", os.O_RDWR)


class Edu:
    def __init__(self, index):
        self.fd = os.open(f"/dev/vfio/devices/vfio{index}", os.O_RDWR)
        call(self.fd, BIND, "=IIiI", 16, 0, iommu, 0)
        self.bar, config = (
            call(self.fd, DEVICE_GET_REGION_INFO, "=IIIIQQ", 32, 0, n, 0, 0, 0)[1][5] for n in (0, 7)
        )
        self.command = config + 4
        os.pwrite(self.fd, struct.pack("<H", 6), self.command)

    def get(self, at, width=4):
        return int.from_bytes(os.pread(self.fd, width, self.bar + at), "little")

    def copy(self, source, destination, count, command):
        for at, value in ((0x80, source), (0x88, destination), (0x90, count), (0x98, command)):
            os.pwrite(self.fd, value.to_bytes(8, "little"), self.bar + at)
        while self.get(0x98, 8) & 1:
            time.sleep(0.01)


a, b = Edu(0), Edu(1)
ioas = call(iommu, IOMMU_IOAS_ALLOC, "=III", 12, 0, 0)[1][2]
call(b.fd, ATTACH, "=III", 12, 0, ioas)
layout = "=IIIIIIQQ"
dmabuf, _ = call(a.fd, DEVICE_FEATURE, layout, 40, GET | DMA_BUF, 0, os.O_CLOEXEC, 0, 1, 0, PAGE)
say("descriptor", dmabuf > 2 and not os.get_inheritable(dmabuf))
say("a page more", call(iommu, IOMMU_IOAS_MAP_FILE, "=IIIiQQQ", 40, 7, ioas, dmabuf, 0, 2 * PAGE, IOVA)[0])
say("map", call(iommu, IOMMU_IOAS_MAP_FILE, "=IIIiQQQ", 40, 7, ioas, dmabuf, 0, PAGE, IOVA)[0])

memory = mmap.mmap(-1, PAGE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
va = ctypes.addressof(ctypes.c_char.from_buffer(memory))
call(iommu, IOMMU_IOAS_MAP, "=IIIIQQQ", 40, 7, ioas, 0, va, PAGE, MEMORY)


def write_liveness(value):
    """Memory to the buffer of b, and from there to the register of a."""
    memory[:4] = struct.pack("<I", value)
    b.copy(MEMORY, 0x40000, 4, 1)
    b.copy(0x40000, IOVA + 4, 4, 3)
    return a.get(4) == value ^ 0xFFFFFFFF


say("b writes a register of a", write_liveness(0x12345678))
os.close(dmabuf)
say("without the descriptor", write_liveness(0x00C0FFEE))
os.pwrite(a.fd, struct.pack("<H", 4), a.command)
os.pwrite(a.fd, struct.pack("<H", 6), a.command)
say("after memory decode was off", write_liveness(0x0BADBEEF))
say("unmap", call(iommu, IOMMU_IOAS_UNMAP, "=IIQQ", 24, ioas, IOVA, PAGE)[0])

"""A file of memory whose pages a device has pinned, and which somebody outside of the run makes shorter."""
import ctypes
import fcntl
import mmap
import os
import struct
import sys
import tempfile
import time

IOAS_ALLOC, IOAS_MAP, GET_REGION_INFO, BIND, ATTACH = 0x3B81, 0x3B85, 0x3B6C, 0x3B76, 0x3B77
PAGE, IOVA, BUFFER, FROM_DEVICE = 4096, 0x200000, 0x40000, 2


def call(fd, command, layout, *values):
    data = bytearray(struct.pack(layout, *values))
    fcntl.ioctl(fd, command, data)
    return struct.unpack(layout, data)


iommu, device = os.open("/dev/iommu", os.O_RDWR), os.open("/dev/vfio/devices/vfio0", os.O_RDWR)
call(device, BIND, "=IIiI", 16, 0, iommu, 0)
ioas = call(iommu, IOAS_ALLOC, "=III", 12, 0, 0)[2]
call(device, ATTACH, "=III", 12, 0, ioas)
bar, config = (call(device, GET_REGION_INFO, "=IIIIQQ", 32, 0, n, 0, 0, 0)[5] for n in (0, 7))
os.pwrite(device, struct.pack("<H", 6), config + 4)


def copy(source, destination, count, direction=0):
    for at, value in ((0x80, source), (0x88, destination), (0x90, count), (0x98, 1 | direction)):
        os.pwrite(device, value.to_bytes(8, "little"), bar + at)
    while int.from_bytes(os.pread(device, 8, bar + 0x98), "little") & 1:
        time.sleep(0.001)


def device_writes(page, text):
    memory[:3] = text
    copy(IOVA, BUFFER, 3)
    copy(BUFFER, IOVA + page * PAGE, 3, FROM_DEVICE)


file, name = tempfile.mkstemp(prefix="softiommu-shrinks-", dir="/dev/shm")
os.ftruncate(file, 4 * PAGE)
memory = mmap.mmap(file, 4 * PAGE)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
call(iommu, IOAS_MAP, "=IIIIQQQ", 40, 7, ioas, 0, address, 4 * PAGE, IOVA)
device_writes(2, b"one")
print("before:", memory[2 * PAGE : 2 * PAGE + 3])
os.chmod(name, 0o666)
print(name, flush=True)
while os.fstat(file).st_size > PAGE:
    time.sleep(0.01)
device_writes(2, b"two")
device_writes(0, b"six")
print("size:", os.fstat(file).st_size)
print("what is left:", memory[:3])
os.ftruncate(file, 4 * PAGE)
print("again:", memory[2 * PAGE : 2 * PAGE + 3])
device_writes(2, b"ten")
print("written:", memory[2 * PAGE : 2 * PAGE + 3])

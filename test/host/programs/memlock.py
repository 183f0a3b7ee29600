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

"""An edu device that is torn out of the machine while its registers are mapped, and put in again. Argument: its address."""
import fcntl
import mmap
import os
import struct
import sys
import time

ADDRESS = sys.argv[1]
FOLDER = f"/sys/bus/pci/devices/{ADDRESS}"
HAND = "/sys/kernel/debug/softiommu"
SET_IOMMU, SET_CONTAINER, GET_DEVICE_FD = 0x3B66, 0x3B68, 0x3B6A
COMMAND = (7 << 40) + 4


def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, text.encode())
    finally:
        os.close(fd)


def settled(there):
    while os.path.exists(FOLDER) != there:
        time.sleep(0.01)
    return there


group = os.path.basename(os.readlink(f"{FOLDER}/iommu_group"))
container, group_fd = os.open("/dev/vfio/vfio", os.O_RDWR), os.open(f"/dev/vfio/{group}", os.O_RDWR)
fcntl.ioctl(group_fd, SET_CONTAINER, struct.pack("i", container))
fcntl.ioctl(container, SET_IOMMU, 1)
device = fcntl.ioctl(group_fd, GET_DEVICE_FD, bytearray(ADDRESS.encode() + b"\0"))
os.pwrite(device, struct.pack("<H", 2), COMMAND)
bar = mmap.mmap(device, 4096, offset=0)
print("id:", hex(struct.unpack_from("<I", bar, 0)[0]))
print("torn out:", write(f"{HAND}/unplug", ADDRESS))
print("mapped:", hex(struct.unpack_from("<I", bar, 0)[0]), "read:", os.pread(device, 4, 0).hex())
print("known while it is open:", os.path.exists(FOLDER))
bar.close()
for fd in (device, group_fd, container):
    os.close(fd)
print("known then:", settled(False))
print("put in again:", write(f"{HAND}/plug", ADDRESS), settled(True))

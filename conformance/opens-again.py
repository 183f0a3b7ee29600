#!/usr/bin/env python3
"""After a program: every device of vfio-pci opens again, answers and is let go of. Says which one does not, and why."""
import ctypes
import fcntl
import os
import struct
import sys

DRIVER = "/sys/bus/pci/drivers/vfio-pci"
VFIO_SET_IOMMU, VFIO_GROUP_GET_STATUS, VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_GET_DEVICE_FD = (
    0x3B66, 0x3B67, 0x3B68, 0x3B6A)
VFIO_DEVICE_GET_REGION_INFO = 0x3B6C
TYPE1 = 1
CONFIG = 7


def opened(group, addresses):
    """Opens the group and its devices, and reads of each the ids that sysfs says."""
    container = os.open("/dev/vfio/vfio", os.O_RDWR)
    group_fd = os.open(f"/dev/vfio/{group}", os.O_RDWR)
    try:
        fcntl.ioctl(group_fd, VFIO_GROUP_SET_CONTAINER, struct.pack("i", container))
        fcntl.ioctl(container, VFIO_SET_IOMMU, TYPE1)
        for address in addresses:
            name = ctypes.create_string_buffer(address.encode())
            device = fcntl.ioctl(group_fd, VFIO_GROUP_GET_DEVICE_FD, name)
            info = bytearray(struct.pack("IIIIQQ", 32, 0, CONFIG, 0, 0, 0))
            fcntl.ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info)
            at = struct.unpack("IIIIQQ", info)[5]
            ids = struct.unpack("HH", os.pread(device, 4, at))
            with open(f"/sys/bus/pci/devices/{address}/vendor") as vendor:
                if ids[0] != int(vendor.read(), 16):
                    raise OSError(f"vendor {ids[0]:#x}")
            os.close(device)
    finally:
        os.close(group_fd)
        os.close(container)


groups = {}
for entry in sorted(os.listdir(DRIVER)):
    if ":" in entry:
        link = os.readlink(f"/sys/bus/pci/devices/{entry}/iommu_group")
        groups.setdefault(os.path.basename(link), []).append(entry)
status = 0
for number, members in groups.items():
    try:
        opened(number, members)
    except OSError as error:
        print(f"error: {members} cannot be opened again: {error}")
        status = 1
sys.exit(status)

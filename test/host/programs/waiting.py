"""Ends while a child of it waits in write(2): unbinding a device that is open waits for its close."""
import fcntl
import os
import time

VFIO_GROUP_SET_CONTAINER, VFIO_SET_IOMMU, VFIO_GROUP_GET_DEVICE_FD = 0x3B68, 0x3B66, 0x3B6A
BDF = b"0000:00:04.0"

container = os.open("/dev/vfio/vfio", os.O_RDWR)
group = os.open("/dev/vfio/0", os.O_RDWR)
fcntl.ioctl(group, VFIO_GROUP_SET_CONTAINER, container.to_bytes(4, "little"))
fcntl.ioctl(container, VFIO_SET_IOMMU, 3)
device = fcntl.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bytearray(BDF + b"\0"))
child = os.fork()
if child == 0:
    os.write(os.open("/sys/bus/pci/drivers/vfio-pci/unbind", os.O_WRONLY), BDF)
    os._exit(0)
time.sleep(0.3)
still = os.waitpid(child, os.WNOHANG) == (0, 0)
os.write(1, b"%d\n" % child)
os._exit(5 if still else 6)

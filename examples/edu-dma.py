#!/usr/bin/env python3
"""DMA with QEMU's edu device, through VFIO's cdev path: /dev/vfio/devices/vfioN and /dev/iommu.

An ordinary program: it finds the device (1234:11e8, bound to vfio-pci) through sysfs, maps memory for DMA, programs the
device, lets it copy data out of and back into this memory, takes its MSI through an eventfd and checks the bytes.
Registers are reached through pread and pwrite, and at the end through mmap. Then one DMA goes to an unmapped address.

    softiommu run -- python3 examples/edu-dma.py
"""
import ctypes
import fcntl
import glob
import mmap
import os
import select
import struct
import sys

IOMMU_IOAS_ALLOC = 0x3B81
IOMMU_DESTROY = 0x3B80
IOMMU_IOAS_MAP = 0x3B85
IOMMU_IOAS_UNMAP = 0x3B86
VFIO_DEVICE_GET_REGION_INFO = 0x3B6C
VFIO_DEVICE_SET_IRQS = 0x3B6E
VFIO_DEVICE_BIND_IOMMUFD = 0x3B76
VFIO_DEVICE_ATTACH_IOMMUFD_PT = 0x3B77
VFIO_DEVICE_DETACH_IOMMUFD_PT = 0x3B78

MAP_FIXED_IOVA, MAP_WRITEABLE, MAP_READABLE = 1, 2, 4
IRQ_SET_DATA_EVENTFD, IRQ_SET_ACTION_TRIGGER = 1 << 2, 1 << 5
BAR0, CONFIG, MSI = 0, 7, 1

REG_IDENTITY, REG_LIVENESS, REG_STATUS, REG_ACK = 0x00, 0x04, 0x24, 0x64
REG_DMA_SRC, REG_DMA_DST, REG_DMA_COUNT, REG_DMA_CMD = 0x80, 0x88, 0x90, 0x98
START, FROM_DEVICE, INTERRUPT = 1, 2, 4
EDU_BUFFER = 0x40000

IOVA = 0x200000
IOVA_UNMAPPED = 0xA00000
SIZE = 4096


def call(fd, command, layout, *values):
    """One ioctl: a struct in, the same struct out."""
    data = bytearray(struct.pack(layout, *values))
    fcntl.ioctl(fd, command, data)
    return struct.unpack(layout, data)


def attribute(path, name):
    with open(f"{path}/{name}") as file:
        return file.read().strip()


def find_device():
    for path in sorted(glob.glob("/sys/bus/pci/devices/*")):
        if (attribute(path, "vendor"), attribute(path, "device")) == ("0x1234", "0x11e8"):
            return path
    sys.exit("edu-dma: there is no edu device (1234:11e8)")


class Edu:
    """The device, by pread and pwrite on its regions."""

    def __init__(self, path):
        (cdev,) = os.listdir(f"{path}/vfio-dev")
        if cdev.startswith("noiommu-"):
            sys.exit("edu-dma: without an IOMMU addresses are physical; see examples/noiommu.ts")
        self.fd = os.open(f"/dev/vfio/devices/{cdev}", os.O_RDWR)
        self.iommu = os.open("/dev/iommu", os.O_RDWR)
        self.devid = call(self.fd, VFIO_DEVICE_BIND_IOMMUFD, "=IIiI", 16, 0, self.iommu, 0)[3]
        self.ioas = call(self.iommu, IOMMU_IOAS_ALLOC, "=III", 12, 0, 0)[2]
        call(self.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, "=III", 12, 0, self.ioas)
        print(f"{os.path.basename(path)}: {cdev}, device id {self.devid}, ioas id {self.ioas}")
        self.bar = self.region(BAR0)
        self.config = self.region(CONFIG)

    def region(self, index):
        layout = "=IIIIQQ"
        info = call(self.fd, VFIO_DEVICE_GET_REGION_INFO, layout, 32, 0, index, 0, 0, 0)
        return {"size": info[4], "offset": info[5]}

    def get(self, at, width=4):
        return int.from_bytes(os.pread(self.fd, width, self.bar["offset"] + at), "little")

    def set(self, at, value, width=4):
        os.pwrite(self.fd, value.to_bytes(width, "little"), self.bar["offset"] + at)

    def enable_bus_master(self):
        at = self.config["offset"] + 4
        (command,) = struct.unpack("<H", os.pread(self.fd, 2, at))
        os.pwrite(self.fd, struct.pack("<H", command | 0x6), at)

    def enable_msi(self):
        self.irq = ctypes.CDLL(None, use_errno=True).eventfd(0, 0o2000000)
        flags = IRQ_SET_DATA_EVENTFD | IRQ_SET_ACTION_TRIGGER
        call(self.fd, VFIO_DEVICE_SET_IRQS, "=IIIIIi", 24, flags, MSI, 0, 1, self.irq)

    def map(self, iova, address, length):
        flags = MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE
        layout = "=IIIIQQQ"
        call(self.iommu, IOMMU_IOAS_MAP, layout, 40, flags, self.ioas, 0, address, length, iova)

    def unmap(self, iova, length):
        return call(self.iommu, IOMMU_IOAS_UNMAP, "=IIQQ", 24, self.ioas, iova, length)[3]

    def copy(self, source, destination, direction):
        self.set(REG_DMA_SRC, source, 8)
        self.set(REG_DMA_DST, destination, 8)
        self.set(REG_DMA_COUNT, SIZE, 8)
        self.set(REG_DMA_CMD, START | direction | INTERRUPT)
        ready, _, _ = select.select([self.irq], [], [], 5)
        assert ready, "no interrupt came"
        os.read(self.irq, 8)
        assert self.get(REG_STATUS) & 0x100, "the status does not show the end of the DMA"
        self.set(REG_ACK, 0x100)

    def close(self):
        call(self.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, "=II", 8, 0)
        call(self.iommu, IOMMU_DESTROY, "=II", 8, self.ioas)
        os.close(self.fd)
        os.close(self.iommu)


def main():
    edu = Edu(find_device())
    edu.enable_bus_master()
    edu.enable_msi()
    assert edu.get(REG_IDENTITY) == 0x010000ED, "this is not an edu device"

    memory = mmap.mmap(-1, 2 * SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:SIZE] = bytes((i * 5 + i // 256) & 0xFF for i in range(SIZE))
    edu.map(IOVA, ctypes.addressof(ctypes.c_char.from_buffer(memory)), 2 * SIZE)

    edu.copy(IOVA, EDU_BUFFER, 0)
    edu.copy(EDU_BUFFER, IOVA + SIZE, FROM_DEVICE)
    assert memory[:SIZE] == memory[SIZE:], "the bytes that came back are different"
    print(f"{SIZE} bytes went to the device and came back the same, each time with an interrupt")

    registers = mmap.mmap(edu.fd, edu.bar["size"], mmap.MAP_SHARED, offset=edu.bar["offset"])
    words = memoryview(registers).cast("I")
    words[REG_LIVENESS // 4] = 0x12345678
    assert words[REG_LIVENESS // 4] == 0x12345678 ^ 0xFFFFFFFF, "the mapped registers do not work"
    print("the mapped registers show the same device")

    edu.copy(EDU_BUFFER, IOVA_UNMAPPED, FROM_DEVICE)
    print(f"a DMA to {IOVA_UNMAPPED:#x}, which is not mapped, reached nothing")

    assert edu.unmap(IOVA, 2 * SIZE) == 2 * SIZE, "not all was unmapped"
    print("unmapped")
    words.release()
    edu.close()


main()

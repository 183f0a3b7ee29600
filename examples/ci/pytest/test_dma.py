"""softiommu run --sanitize --error-exitcode 99 --junit vfio.xml -- python3 -m pytest -p no:cacheprovider

The whole of pytest is on the machine: its tests open /dev/iommu as they would on Linux.
"""
import ctypes
import fcntl
import mmap
import os
import struct

import pytest

IOMMU_DESTROY, IOMMU_IOAS_ALLOC, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP = 0x3B80, 0x3B81, 0x3B85, 0x3B86
FIXED_IOVA, WRITEABLE, READABLE = 1, 2, 4
IOVA = 0x10_0000


@pytest.fixture
def iommufd():
    fd = os.open("/dev/iommu", os.O_RDWR)
    yield fd
    os.close(fd)


@pytest.fixture
def ioas(iommufd):
    alloc = bytearray(struct.pack("=III", 12, 0, 0))
    fcntl.ioctl(iommufd, IOMMU_IOAS_ALLOC, alloc)
    ident = struct.unpack("=III", alloc)[2]
    yield ident
    fcntl.ioctl(iommufd, IOMMU_DESTROY, struct.pack("=II", 8, ident))


@pytest.fixture
def memory():
    return mmap.mmap(-1, mmap.PAGESIZE)


def map_page(iommufd, ioas, memory):
    at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    flags = FIXED_IOVA | WRITEABLE | READABLE
    command = struct.pack("=IIIIQQQ", 40, flags, ioas, 0, at, len(memory), IOVA)
    fcntl.ioctl(iommufd, IOMMU_IOAS_MAP, command)


def test_what_is_mapped_is_unmapped_in_whole(iommufd, ioas, memory):
    map_page(iommufd, ioas, memory)
    unmap = bytearray(struct.pack("=IIQQ", 24, ioas, IOVA, len(memory)))
    fcntl.ioctl(iommufd, IOMMU_IOAS_UNMAP, unmap)
    assert struct.unpack("=IIQQ", unmap)[3] == len(memory)


def test_no_address_is_mapped_twice(iommufd, ioas, memory):
    map_page(iommufd, ioas, memory)
    with pytest.raises(FileExistsError):
        map_page(iommufd, ioas, memory)

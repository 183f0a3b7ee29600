"""Maps two pages in an address space of /dev/iommu: a program to make things go wrong in (docs/inject.md)."""
import ctypes, fcntl, mmap, os, struct, sys

IOMMU_IOAS_ALLOC, IOMMU_IOAS_MAP = 0x3B81, 0x3B85

iommu = os.open('/dev/iommu', os.O_RDWR)
alloc = bytearray(struct.pack('=III', 12, 0, 0))
try:
    fcntl.ioctl(iommu, IOMMU_IOAS_ALLOC, alloc)
except OSError as error:
    print('no address space:', error.strerror)
    sys.exit(0)
ioas = struct.unpack_from('=I', alloc, 8)[0]

memory = mmap.mmap(-1, 8192)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
for page in range(0, 8192, 4096):
    request = struct.pack('=IIIIQQQ', 40, 7, ioas, 0, address + page, 4096, 0x100000 + page)
    try:
        fcntl.ioctl(iommu, IOMMU_IOAS_MAP, request)
        print('mapped page', page // 4096)
    except OSError as error:
        print('page', page // 4096, 'is not mapped:', error.strerror)

"""What memory of a program the kernel holds: memfds, huge pages, memory of children that are gone; and what /proc says."""
import ctypes, errno, fcntl, mmap, os, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
FAILED = 2**64 - 1
SHARED, PRIVATE, FIXED, ANON, POPULATE, HUGETLB = 1, 2, 0x10, 0x20, 0x8000, 0x40000
HUGE = 1 << 21


def show(what, value):
    print(f"{what}: {value}", flush=True)


def memory(length, flags, fd=-1, address=None, offset=0):
    at = libc.mmap(address, length, 3, flags, fd, offset)
    return at if at != FAILED else None


def last_error():
    return errno.errorcode[ctypes.get_errno()]


def ioctl(fd, cmd, fmt, *values):
    """The fields of the answer, or the name of the errno."""
    size = struct.calcsize("<" + fmt)
    data = bytearray(struct.pack("<I" + fmt[1:], size, *values))
    try:
        fcntl.ioctl(fd, cmd, data, True)
    except OSError as error:
        return errno.errorcode[error.errno]
    return struct.unpack("<" + fmt, data)


def ioas_alloc(fd):
    return ioctl(fd, 0x3B81, "III", 0, 0)[2]


def ioas_map(fd, ioas, va, length, iova=0x1000000, flags=7):
    out = ioctl(fd, 0x3B85, "IIIIQQQ", flags, ioas, 0, va, length, iova)
    return out if isinstance(out, str) else "ok"


def map_file(fd, ioas, file, start, length, iova=0x1000000):
    out = ioctl(fd, 0x3B8F, "IIIiQQQ", 7, ioas, file, start, length, iova)
    return out if isinstance(out, str) else "ok"


def test_op(fd, op, target, union):
    """IOMMU_TEST_CMD: the union afterwards, or the name of the errno."""
    data = bytearray(struct.pack("<IIII", 72, op, target, 0) + union.ljust(56, b"\0"))
    try:
        fcntl.ioctl(fd, 0x3BA0, data, True)
    except OSError as error:
        return errno.errorcode[error.errno]
    return bytes(data[16:])


def mock_domain(fd, ioas):
    out = test_op(fd, 2, ioas, b"")
    return out if isinstance(out, str) else struct.unpack_from("<III", out)


def access_read(fd, access, iova, length):
    into = ctypes.create_string_buffer(length)
    out = test_op(fd, 8, access, struct.pack("<QQQI", iova, length, ctypes.addressof(into), 4))
    return out if isinstance(out, str) else into.raw


def status(name, pid="self"):
    with open(f"/proc/{pid}/status") as file:
        return next(line.split()[1] for line in file if line.startswith(name + ":"))


def iommufd():
    fd = os.open("/dev/iommu", os.O_RDWR)
    ioas = ioas_alloc(fd)
    return fd, ioas


def files():
    fd, ioas = iommufd()
    mock_domain(fd, ioas)
    file = os.memfd_create("dma")
    os.ftruncate(file, 8192)
    show("a memfd", map_file(fd, ioas, file, 0, 8192))
    show("VmPin", status("VmPin"))
    show("more than the memfd has", map_file(fd, ioas, file, 4096, 8192, 0x2000000))
    plain = os.open("/proc/self/exe", os.O_RDONLY)
    show("a file that is no memory", map_file(fd, ioas, plain, 0, 4096, 0x2000000))
    os.close(fd)
    show("VmPin after the close", status("VmPin"))


def gone():
    fd, ioas = iommufd()
    mock_domain(fd, ioas)
    access = struct.unpack("<I", test_op(fd, 5, ioas, b"")[:4])[0]
    shared = memory(4096, SHARED | ANON)
    if os.fork() == 0:
        os._exit(0 if ioas_map(fd, ioas, shared, 4096) == "ok" else 1)
    show("a child maps", os.wait()[1])
    ctypes.memmove(shared, b"after the child", 15)
    if sys.argv[-1] == "unmapped":
        libc.munmap(shared, 4096)
    show("read when it is gone", access_read(fd, access, 0x1000000, 15))
    os.close(access)
    os.close(fd)


def huge():
    fd, ioas = iommufd()
    hwpt = mock_domain(fd, ioas)[1]
    for name, how in (("shared", SHARED), ("private", PRIVATE)):
        at = memory(HUGE, how | ANON | HUGETLB | POPULATE)
        show(f"{name} huge memory is aligned", at % HUGE)
        ctypes.memset(at, 0x5A, HUGE)
        show("mapped", ioas_map(fd, ioas, at, HUGE))
        check = struct.pack("<QQQ", 0x1000000, HUGE, at)
        out = test_op(fd, 3, hwpt, check)
        show("and there", out if isinstance(out, str) else "ok")
        # Pages of huge pages are passed over: any count is right.
        out = test_op(fd, 4, 0, struct.pack("<QQI", HUGE, at, 77))
        show("as huge pages", out if isinstance(out, str) else "ok")
        fcntl.ioctl(fd, 0x3B86, bytearray(struct.pack("<IIQQ", 24, ioas, 0, 2**64 - 1)))
        libc.munmap(at, HUGE)
    hole = memory(4 * HUGE, PRIVATE | ANON)
    place = (hole + HUGE - 1) // HUGE * HUGE
    show("at a place", memory(HUGE, PRIVATE | ANON | FIXED | HUGETLB, address=place) == place)
    memory(HUGE, PRIVATE | ANON | FIXED | HUGETLB, address=place + 4096)
    show("at a place not aligned", last_error())
    file = libc.memfd_create(b"large", 4)
    os.ftruncate(file, HUGE)
    at = memory(HUGE, SHARED, file)
    ctypes.memset(at, 1, HUGE)
    show("a huge memfd", map_file(fd, ioas, file, 0, HUGE))
    os.close(fd)


def capabilities():
    fd, _ = iommufd()
    sets = lambda: int(status("CapEff"), 16)
    show("all capabilities", hex(sets()) if os.path.exists("/proc/self/status") else "")
    header = struct.pack("<II", 0x20080522, 0)
    data = ctypes.create_string_buffer(24)
    show("capget", libc.capget(header, data))
    words = list(struct.unpack("<6I", data.raw))
    words[0] &= ~(1 << 14)
    show("capset without CAP_IPC_LOCK", libc.capset(header, struct.pack("<6I", *words)))
    libc.capget(header, data)
    show("it is gone", struct.unpack("<6I", data.raw)[0] >> 14 & 1)
    words[1], words[0] = words[1] & ~(1 << 14), words[0]
    libc.capset(header, struct.pack("<6I", *words))
    words[1] |= 1 << 14
    show("and does not come back", libc.capset(header, struct.pack("<6I", *words)))
    show("errno", last_error())
    show("a bad version", libc.capget(struct.pack("<II", 7, 0), data))
    os.close(fd)


def injection():
    fd = os.open("/dev/iommu", os.O_RDWR)
    nth = os.open(f"/proc/self/task/{os.getpid()}/fail-nth", os.O_RDWR)
    show("fail-nth", os.pread(nth, 10, 0))
    os.pwrite(nth, b"1", 0)
    show("a lookup", ioctl(fd, 0x3B85, "IIIIQQQ", 7, 1, 0, 0, 4096, 0))
    show("fail-nth", os.pread(nth, 10, 0))
    os.pwrite(nth, b"9", 0)
    show("read(2)", os.read(nth, 10))
    os.pwrite(nth, b"0", 0)
    os.close(fd)


def pages():
    fd, ioas = iommufd()
    idev = mock_domain(fd, ioas)[2]
    parent = ioctl(fd, 0x3B89, "IIIIIIIIQII", 1, idev, ioas, 0, 0, 0, 0, 0, 0, 0)[4]
    data = ctypes.create_string_buffer(struct.pack("<IIQQ", 0xABCD, 0, 0, 0), 24)
    out = ioctl(fd, 0x3B90, "IIIIIIIIQ", 0, 0xDEADBEEF, idev, parent, 0, 24, 0, ctypes.addressof(data))
    viommu = out[5]
    _, _, offset, length = struct.unpack("<IIQQ", data.raw)
    show("no such region", memory(length, SHARED, fd, offset=offset + 0x10000) or last_error())
    at = memory(length, SHARED, fd, offset=offset)
    show("shared pages", hex(ctypes.c_uint32.from_address(at).value))
    show("destroyed while mapped", ioctl(fd, 0x3B80, "II", viommu))
    if os.fork() == 0:
        os._exit(ctypes.c_uint32.from_address(at).value & 0xFF)
    show("a child sees them", hex(os.WEXITSTATUS(os.wait()[1])))
    libc.munmap(at, length)
    show("destroyed", ioctl(fd, 0x3B80, "II", viommu) == (8, viommu))
    os.close(fd)


if __name__ == "__main__":
    globals()[sys.argv[1]]()

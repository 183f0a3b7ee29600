"""What a device with pinned pages sees when the program that pinned them does something to its mappings."""
import ctypes, errno, fcntl, os, signal, struct, sys

from memory import ANON, FIXED, PRIVATE, SHARED, access_read, ioas_map, iommufd, last_error, libc
from memory import map_file, memory, mock_domain, show, test_op

PAGE = 4096
IOVA = 0x1000000
libc.mremap.restype = ctypes.c_void_p
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.sbrk.restype = ctypes.c_void_p
libc.sbrk.argtypes = [ctypes.c_long]
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.shmdt.argtypes = [ctypes.c_void_p]
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


class Device:
    """Everything mapped in its IOAS is pinned for a mock domain; its reads and writes are those of an access."""

    def __init__(self):
        self.fd, self.ioas = iommufd()
        mock_domain(self.fd, self.ioas)
        self.access = struct.unpack("<I", test_op(self.fd, 5, self.ioas, b"")[:4])[0]

    def map(self, at, length=PAGE, iova=IOVA, flags=7):
        return ioas_map(self.fd, self.ioas, at, length, iova, flags)

    def read(self, iova=IOVA, length=3):
        out = access_read(self.fd, self.access, iova, length)
        return out if isinstance(out, str) else out.decode()

    def write(self, text, iova=IOVA):
        data = ctypes.create_string_buffer(text.encode())
        out = test_op(self.fd, 8, self.access, struct.pack("<QQQI", iova, len(text), ctypes.addressof(data), 1 | 4))
        return out if isinstance(out, str) else "ok"


def put(at, text):
    ctypes.memmove(at, text.encode(), len(text))


def get(at, length=3):
    return ctypes.string_at(at, length).replace(b"\0", b".").decode()


def private(pages=1, text="old", address=None):
    how = PRIVATE | ANON | (FIXED if address else 0)
    at = memory(pages * PAGE, how, address=address)
    for page in range(pages):
        put(at + page * PAGE, text)
    return at


def unmap():
    device = Device()
    at = private()
    device.map(at)
    libc.munmap(at, PAGE)
    show("after munmap", device.read())
    show("written there", device.write("dev"))
    private(1, "new", at)
    show("behind a new mapping", device.read())
    show("the new one", get(at))
    show("mapped as well", device.map(at, iova=2 * IOVA))
    show("is another page", (device.read(), device.read(2 * IOVA)))
    device.write("two", 2 * IOVA)
    show("and written by itself", (get(at), device.read()))


def over():
    device = Device()
    at = private(3)
    device.map(at, 3 * PAGE)
    private(1, "new", at + PAGE)
    show("a mapping over the middle", [device.read(IOVA + n * PAGE) for n in range(3)])
    put(at, "one")
    show("its neighbours are the program's", device.read())
    libc.munmap(at + 2 * PAGE, PAGE)
    show("munmap of one page", [device.read(IOVA + n * PAGE) for n in range(3)])
    show("at a bad address", (libc.munmap(at + 1, PAGE), last_error()))
    show("with a bad descriptor", (memory(PAGE, PRIVATE | FIXED, fd=999, address=at), last_error()))
    put(at, "two")
    show("leaves it the program's", device.read())


def remap():
    device = Device()
    at = private(3)
    device.map(at, 2 * PAGE)
    blocker = private(1, "end", at + 2 * PAGE)
    moved = libc.mremap(at, 2 * PAGE, 8 * PAGE, 1, None)
    show("moved", moved != at)
    device.write("dev")
    show("the device follows", get(moved))
    put(moved + PAGE, "cpu")
    show("and sees", device.read(IOVA + PAGE))
    show("shrunk", libc.mremap(moved, 8 * PAGE, PAGE, 0, None) == moved)
    show("the tail is kept", device.read(IOVA + PAGE))
    put(moved, "now")
    show("the head is the program's", device.read())
    libc.mremap(blocker, PAGE, PAGE, 3, moved)
    show("another page in its place", (get(moved), device.read()))


def advice():
    device = Device()
    at = private(2)
    device.map(at, 2 * PAGE)
    libc.madvise(at, PAGE, 4)
    show("thrown away", get(at))
    put(at, "new")
    show("the device keeps", device.read())
    put(at + PAGE, "cpu")
    show("and shares the next", device.read(IOVA + PAGE))


def holes():
    device = Device()
    at = private(3)
    device.map(at, 3 * PAGE)
    libc.munmap(at + PAGE, PAGE)
    show("advice on a hole", (libc.madvise(at, 3 * PAGE, 4), last_error()))
    show("is taken beside it", [get(at), get(at + 2 * PAGE)])
    show("the device", [device.read(IOVA + n * PAGE) for n in range(3)])


def lazy():
    device = Device()
    at = private(2)
    device.map(at, 2 * PAGE)
    free, page_out = 8, 21
    show("to be freed at need", libc.madvise(at, PAGE, free))
    show("by ranges", advise_ranges([(at + PAGE, PAGE)], free))
    libc.madvise(at, 2 * PAGE, page_out)
    show("a pinned page stays", (get(at), device.read()))
    put(at + PAGE, "cpu")
    show("and is the program's", device.read(IOVA + PAGE))


def advise_ranges(ranges, advice):
    """process_madvise of ourselves; before Linux 6.13 madvise does what it would."""
    iovecs = b"".join(struct.pack("<QQ", *one) for one in ranges)
    pidfd = os.pidfd_open(os.getpid())
    done = libc.syscall(440, pidfd, ctypes.c_char_p(iovecs), len(ranges), advice, 0)
    if done == -1 and last_error() == "EINVAL":
        for at, length in ranges:
            libc.madvise(at, length, advice)
        done = sum(length for _, length in ranges)
    os.close(pidfd)
    return done


def ranges():
    device = Device()
    at = private(4)
    device.map(at, 4 * PAGE)
    show("two ranges", advise_ranges([(at, PAGE), (at + 2 * PAGE, 2 * PAGE)], 4))
    for page in range(4):
        put(at + page * PAGE, "new")
    show("the device", [device.read(IOVA + n * PAGE) for n in range(4)])


def guarded():
    device = Device()
    at = private(2)
    device.map(at, 2 * PAGE)
    if libc.madvise(at, PAGE, 102) < 0:  # before Linux 6.13
        libc.munmap(at, PAGE)
    show("behind a guard", device.read())


def segment(text):
    number = libc.shmget(0, 2 * PAGE, 0o1600)
    at = libc.shmat(number, None, 0)
    libc.shmctl(number, 0, None)
    put(at, text)
    return number, at


def segments():
    device = Device()
    number, at = segment("old")
    device.map(at)
    show("detached", libc.shmdt(at))
    show("nobody has it", device.read())
    second = Device()
    number, one = segment("two")
    two = libc.shmat(number, None, 0)
    second.map(one)
    libc.shmdt(one)
    put(two, "cpu")
    show("attached twice", second.read())
    third = Device()
    below = private(2)
    third.map(below, 2 * PAGE)
    show("in its place", libc.shmat(number, below, 0o40000) == below)
    show("the program", get(below))
    show("the device", third.read())


def heap():
    device = Device()
    while True:
        libc.sbrk((-libc.sbrk(0)) % PAGE)
        at = libc.sbrk(2 * PAGE)
        put(at, "one")
        put(at + PAGE, "two")
        device.map(at, 2 * PAGE)
        if libc.sbrk(0) == at + 2 * PAGE:  # or Python's own heap has grown behind
            break
        device = Device()
    libc.sbrk(-PAGE)
    libc.sbrk(PAGE)
    show("a new page", get(at + PAGE))
    put(at, "cpu")
    show("the device has", (device.read(), device.read(IOVA + PAGE)))


def cow():
    device = Device()
    at = private()
    device.map(at)
    there, here = os.pipe(), os.pipe()
    if os.fork() == 0:
        put(at, "kid")
        os.write(there[1], b"x")
        os.read(here[0], 1)
        os.write(there[1], get(at).encode())
        os._exit(0)
    os.read(there[0], 1)
    show("a child's store is its own", (get(at), device.read()))
    put(at, "cpu")
    show("the parent's is seen", device.read())
    device.write("dev")
    show("and the device's", get(at))
    os.write(here[1], b"x")
    show("the child has", os.read(there[0], 3).decode())
    os.wait()


def protect():
    device = Device()
    at = private(8)
    device.map(at, 8 * PAGE)
    libc.mprotect(at, 8 * PAGE, 0)
    show("no access for the program", device.read())
    show("much of it", device.read(IOVA, 8 * PAGE).count("old"))
    show("written", device.write("dev"))
    libc.mprotect(at, 8 * PAGE, 1)
    show("seen", get(at))


def child(device, run):
    """A child maps memory for the device and does something; its wait status."""
    if os.fork() == 0:
        at = private()
        device.map(at)
        run(at)
        os._exit(0)
    return os.wait()[1]


def ended():
    device = Device()
    child(device, lambda at: put(at, "end"))
    show("after exit", device.read())
    second = Device()
    child(second, lambda at: libc.syscall(60, 0))
    show("after the last thread", second.read())
    show("written", device.write("dev"))
    show("read", device.read())


def execed():
    device = Device()
    child(device, lambda at: os.execv("/bin/true", ["true"]))
    show("after exec", device.read())

    def fails(at):
        try:
            os.execv("/nonexistent", ["x"])
        except OSError:
            put(at, "new")
        show("after an exec that failed", second.read())

    second = Device()
    child(second, fails)


def killed():
    device = Device()
    show("status", child(device, lambda at: os.kill(os.getpid(), signal.SIGKILL)))
    show("after SIGKILL", device.read())


def shared():
    device = Device()
    at = memory(PAGE, SHARED | ANON)
    put(at, "old")
    device.map(at)
    there, here = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.read(here[0], 1)
        put(at, "kid")
        os.write(there[1], b"x")
        os.read(here[0], 1)
        os._exit(0)
    libc.munmap(at, PAGE)
    show("a child still maps it", device.read())
    os.write(here[1], b"x")
    os.read(there[0], 1)
    show("and writes", device.read())
    # The child has made no call of ours so far: its exit is the first.
    os.write(here[1], b"x")
    os.wait()
    show("nobody maps it", device.read())
    second = Device()
    at = memory(PAGE, SHARED | ANON)
    put(at, "two")
    second.map(at)
    libc.munmap(at, PAGE)
    show("nobody ever did but we", second.read())


def truncated():
    device = Device()
    file = os.memfd_create("dma")
    os.ftruncate(file, 4 * PAGE)
    at = memory(4 * PAGE, SHARED, file)
    for page in range(4):
        put(at + page * PAGE, f"pg{page}")
    show("a memfd", map_file(device.fd, device.ioas, file, 0, 4 * PAGE, IOVA))
    libc.fallocate(file, 3, PAGE, PAGE)
    show("a hole", get(at + PAGE))
    put(at + PAGE, "new")
    libc.madvise(at + 2 * PAGE, PAGE, 9)
    os.ftruncate(file, 3 * PAGE + 1)
    os.ftruncate(file, 4 * PAGE)
    put(at, "cpu")
    show("the program", [get(at + n * PAGE) for n in range(4)])
    show("the device", [device.read(IOVA + n * PAGE).replace(chr(0), ".") for n in range(4)])
    os.ftruncate(file, 0)
    show("nothing left", device.read())


def names():
    """Files made shorter by a name of theirs."""
    device = Device()
    os.chdir("/dev/shm")
    name = f"softiommu-{os.getpid()}"
    file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    for at, how in enumerate([name, f"/dev/shm/{name}", f"/proc/self/fd/{file}"]):
        os.ftruncate(file, PAGE)
        os.pwrite(file, f"no{at}".encode(), 0)
        iova = IOVA + 2 * at * PAGE
        map_file(device.fd, device.ioas, file, 0, PAGE, iova)
        os.truncate(how, 0)
        os.ftruncate(file, PAGE)
        os.pwrite(file, b"new", 0)
        map_file(device.fd, device.ioas, file, 0, PAGE, iova + PAGE)
        os.close(os.open(how, os.O_WRONLY | os.O_TRUNC))
        show("truncated and opened", [device.read(iova), device.read(iova + PAGE)])
    os.unlink(name)
    try:
        os.open("/dev/shm/softiommu-none/x", os.O_WRONLY | os.O_TRUNC)
    except FileNotFoundError:
        show("not there", "ENOENT")


def userfault():
    """UFFDIO_MOVE, where there is a userfaultfd that can."""
    uffd = libc.syscall(323, os.O_CLOEXEC | 1)
    api = bytearray(struct.pack("<QQQ", 0xAA, 1 << 16, 0))
    try:
        fcntl.ioctl(uffd, 0xC018AA3F, api)
        at, to = private(2), memory(2 * PAGE, PRIVATE | ANON)
        fcntl.ioctl(uffd, 0xC020AA00, bytearray(struct.pack("<QQQQ", to, 2 * PAGE, 1, 0)))
    except (OSError, ValueError):
        show("userfaultfd", "cannot move")
        return
    device = Device()
    device.map(at)
    for page in range(2):
        move = bytearray(struct.pack("<QQQQq", to + page * PAGE, at + page * PAGE, PAGE, 0, 0))
        try:
            fcntl.ioctl(uffd, 0xC028AA05, move)
            show("moved", get(to + page * PAGE))
        except OSError as error:
            show("pinned", (errno.errorcode[error.errno], struct.unpack("<QQQQq", move)[4]))
    show("the device", device.read())


def readonly():
    device = Device()
    at = private()
    libc.mprotect(at, PAGE, 1)
    show("to read only", device.map(at, flags=5))
    libc.munmap(at, PAGE)
    show("kept", device.read())


def elsewhere():
    fd, ioas = iommufd()
    access = struct.unpack("<I", test_op(fd, 5, ioas, b"")[:4])[0]
    at = private()
    ioas_map(fd, ioas, at, PAGE)
    if os.fork() == 0:
        mock_domain(fd, ioas)
        os._exit(0)
    os.wait()
    libc.munmap(at, PAGE)
    show("pinned by a child", access_read(fd, access, IOVA, 3).decode())


def many():
    device = Device()
    at = private(600)
    show("mapped", device.map(at, 600 * PAGE))
    libc.munmap(at, 600 * PAGE)
    show("kept", device.read(IOVA, 600 * PAGE).count("old"))


if __name__ == "__main__":
    for part in sys.argv[1:]:
        show("==", part)
        if os.fork() == 0:
            globals()[part]()
            os._exit(0)
        os.wait()

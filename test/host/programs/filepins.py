"""Files whose pages a device may be given, and what of them: shared mappings of a disk's files, ends of files, rights."""
import ctypes, os, sys, tempfile

from memory import ANON, PRIVATE, SHARED, last_error, libc, map_file, memory, show
from pins import Device, get, put

PAGE = 4096
IOVA = 0x1000000
READ_ONLY = 5
DISK = "/var/tmp"


def file_in(directory, length=2 * PAGE):
    """An open file without a name."""
    file, name = tempfile.mkstemp(prefix="softiommu-", dir=directory)
    os.unlink(name)
    os.ftruncate(file, length)
    return file


def disk():
    device = Device()
    shared = memory(PAGE, SHARED, file_in(DISK))
    show("to be written", device.map(shared))
    show("to be read", device.map(shared, flags=READ_ONLY))
    put(shared, "cpu")
    show("and read", device.read())
    show("a private mapping", device.map(memory(PAGE, PRIVATE, file_in(DISK)), iova=2 * IOVA))
    for at, (name, pages) in enumerate([
        ("tmpfs", memory(PAGE, SHARED, file_in("/dev/shm"))),
        ("a memfd", memory(PAGE, SHARED, memfd())),
        ("shared with children", memory(PAGE, SHARED | ANON)),
        ("System V", libc.shmat(libc.shmget(0, PAGE, 0o1600), None, 0)),
    ]):
        iova = (at + 3) * IOVA
        show(name, (device.map(pages, iova=iova), device.write("dev", iova), get(pages)))


def memfd(length=PAGE):
    file = libc.memfd_create(b"dma", 2)
    os.ftruncate(file, length)
    return file


def ends():
    device = Device()
    unopened = memfd()
    both = [(name, memory(2 * PAGE, how, file)) for name, how, file in [
        ("a memfd", SHARED, memfd()),
        ("without a descriptor", SHARED, unopened),
        ("of a disk", PRIVATE, file_in(DISK, 1)),
    ]]
    os.close(unopened)
    for at, (name, pages) in enumerate(both):
        iova = (at + 1) * IOVA
        beyond = [device.map(pages, 2 * PAGE, iova), device.map(pages + PAGE, PAGE, iova)]
        show(name, beyond + [device.map(pages, PAGE, iova)])


def files_as(user):
    """Others may look into the program as before, which the kernel forbids when the user changes."""
    libc.setfsuid(user)
    libc.prctl(4, 1, 0, 0, 0)


def rights():
    """Of a file that the program may only read; who is root gives up his rights on files, and nothing else."""
    device = Device()
    file, name = tempfile.mkstemp(prefix="softiommu-", dir="/dev/shm")
    os.truncate(name, PAGE)
    os.write(file, b"old")
    os.fchmod(file, 0o444)
    os.close(file)
    files_as(65534)
    try:
        os.open(name, os.O_RDWR)
    except PermissionError:
        show("the program itself", "EACCES")
    file = os.open(name, os.O_RDONLY)
    show("its descriptor", map_file(device.fd, device.ioas, file, 0, PAGE))
    libc.mmap.restype = ctypes.c_void_p
    pages = libc.mmap(None, PAGE, 1, SHARED, file, 0)
    named = os.open(name, os.O_PATH)
    show("one that only names it", map_file(device.fd, device.ioas, named, 0, PAGE))
    show("its mapping", device.map(pages))
    show("to be read", device.map(pages, flags=READ_ONLY))
    show("written all the same", device.write("dev"))
    show("and read", device.read())
    show("the file", os.pread(file, 3, 0))
    files_as(os.getuid())
    os.unlink(name)


def add_seals(file, seals):
    return libc.fcntl(file, 1033, seals) and last_error()


def seals():
    WRITE, FUTURE, GROW, SEALS = 8, 16, 4, 1
    device = Device()
    file = memfd()
    show("mapped by itself", map_file(device.fd, device.ioas, file, 0, PAGE, IOVA))
    show("against writing", add_seals(file, WRITE))
    show("by a descriptor to read", add_seals(os.open(f"/proc/self/fd/{file}", os.O_RDONLY), WRITE))
    show("against growing", add_seals(file, GROW))
    show("against writing to come", add_seals(file, FUTURE))
    show("the program", written(file))
    show("the device", (device.write("dev"), os.pread(file, 3, 0)))
    os.close(device.fd)
    os.close(device.access)
    show("not pinned any more", add_seals(file, WRITE))
    device = Device()
    file = memfd()
    pages = memory(PAGE, SHARED, file)
    show("sealed first", add_seals(file, FUTURE))
    show("and mapped", (device.map(pages), device.write("two"), get(pages)))
    show("against writing", add_seals(file, WRITE))
    show("against seals", add_seals(file, SEALS))
    show("too late", add_seals(file, WRITE))


def written(file):
    try:
        return os.pwrite(file, b"cpu", 0)
    except PermissionError:
        return "EPERM"


if __name__ == "__main__":
    globals()[sys.argv[1]]()

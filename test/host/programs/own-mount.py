"""With a page pinned, attributes are emptied, cut and given to a device as memory: each by the name it is given, and by others."""
import errno, os, sys, tempfile

from memory import ANON, PRIVATE, ioas_map, iommufd, map_file, memory, mock_domain

ATTRIBUTE = "/sys/bus/pci/devices/0000:00:04.0/driver_override"


def outcome(call):
    try:
        result = call()
        return "ok" if result is None or isinstance(result, int) else result
    except OSError as error:
        return errno.errorcode[error.errno]


def opened(path, flags, then):
    fd = os.open(path, flags)
    try:
        return then(fd)
    finally:
        os.close(fd)


fd, ioas = iommufd()
mock_domain(fd, ioas)
ioas_map(fd, ioas, memory(4096, PRIVATE | ANON), 4096, 0x100000)
link = os.path.join(tempfile.mkdtemp(), "link")
os.symlink(ATTRIBUTE, link)
names = {"name": ATTRIBUTE, "link": link, "root": "/proc/self/root" + ATTRIBUTE}
for name in sys.argv[1:]:
    path = names[name]
    print(name, outcome(lambda: opened(path, os.O_WRONLY | os.O_TRUNC, lambda _: None)))
    print(name, outcome(lambda: os.truncate(path, 0)))
    print(name, outcome(lambda: opened(path, os.O_WRONLY, lambda attr: os.ftruncate(attr, 0))))
    print(name, outcome(lambda: opened(path, os.O_RDONLY, lambda attr: map_file(fd, ioas, attr, 0, 4096, 0x200000))))
os.unlink(link)
os.rmdir(os.path.dirname(link))

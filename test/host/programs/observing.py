"""What programs that look at the simulated machine share: the result of a call, or the name of its errno."""
import ctypes, errno

libc = ctypes.CDLL(None, use_errno=True)


def tried(call, *args, **named):
    try:
        return call(*args, **named)
    except OSError as error:
        return errno.errorcode[error.errno]


def text(path):
    def read():
        with open(path) as file:
            return file.readline().strip()
    return tried(read)

"""Run a program as a default container would: what it denies is EPERM. Usage: container.py [--no-seccomp] PROGRAM ARGS…

With --no-seccomp also seccomp(2) is denied, as on a host where no program can be run.
"""
import ctypes
import os
import shutil
import struct
import sys

X86_64 = {
    "mount": 165,
    "umount2": 166,
    "unshare": 272,
    "setns": 308,
    "kcmp": 312,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}
if sys.argv[1] == "--no-seccomp":
    del sys.argv[1]
    X86_64["seccomp"] = 317
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
EPERM_ACTION, ALLOW = 0x00050001, 0x7FFF0000

code = [(LOAD, 0, 0, 0)]
for number in sorted(X86_64.values()):
    code += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, EPERM_ACTION)]
code.append((RETURN, 0, 0, ALLOW))
filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = ctypes.create_string_buffer(
    struct.pack("HxxxxxxQ", len(code), ctypes.addressof(filters))
)
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
if libc.syscall(317, 1, 0, program) != 0:
    sys.exit(f"container.py: seccomp: {os.strerror(ctypes.get_errno())}")
os.execv(shutil.which(sys.argv[1]), sys.argv[1:])

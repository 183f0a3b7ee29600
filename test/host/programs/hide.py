"""Puts another directory over the host's /sys/kernel, in mounts of its own, then is a program: hide.py MODE OWNER ACL PROGRAM ARGS…"""
import os
import struct
import subprocess
import sys

mode, owner, acl, *program = sys.argv[1:]
top = "/sys/kernel"
subprocess.run(["mount", "-t", "tmpfs", "none", top], check=True)
os.mkdir(f"{top}/inner", 0o755)
with open(f"{top}/inner/file", "w") as file:
    file.write("read\n")
os.chmod(f"{top}/inner", 0o755)
os.chmod(f"{top}/inner/file", 0o644)
os.chown(top, int(owner), int(owner))
os.chmod(top, int(mode, 8))
if acl == "forbids":
    # user::rwx, user:65534:---, group::r-x, mask::r-x, other::r-x
    entries = [(1, 7, 0), (2, 0, 65534), (4, 5, 0), (16, 5, 0), (32, 5, 0)]
    packed = b"".join(struct.pack("<HHI", tag, rights, who) for tag, rights, who in entries)
    os.setxattr(top, "system.posix_acl_access", struct.pack("<I", 2) + packed)
os.execvp(program[0], program)

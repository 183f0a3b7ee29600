"""
A run whose standard error takes nothing: unheard.py HOW -- COMMAND… The program fills it, makes softiommu say a line, and
says by a pipe of its own that its calls are answered all the same.
"""
import ctypes
import fcntl
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time

IO_URING_SETUP = 425


def full(fd):
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    for size in (4096, 1):
        try:
            while True:
                os.write(fd, b"." * size)
        except BlockingIOError:
            pass
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)


def program(how):
    if how == "stopped":
        import termios

        termios.tcflow(2, termios.TCOOFF)
    else:
        full(2)
    ctypes.CDLL(None).syscall(IO_URING_SETUP, 1, 0)
    with open("/sys/bus/pci/devices/0000:00:04.0/vendor"):
        os.write(1, b"went on\n")


def left(mark):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                if mark.encode() in environment.read():
                    found.append(pid)
        except OSError:
            pass
    return found


def run(how, command):
    folder = tempfile.mkdtemp(prefix="unheard-")
    os.chmod(folder, 0o777)
    mark = f"UNHEARD={os.getpid()}"
    env = dict(os.environ, TMPDIR=folder, HOME="/tmp", UNHEARD=str(os.getpid()))
    env.pop("XDG_RUNTIME_DIR", None)
    reader, writer = pty.openpty() if how == "stopped" else os.pipe()
    argv = [*command, "--", "/usr/bin/python3", __file__, "--program", how]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=writer, env=env)
    print(child.stdout.readline().decode(), end="", flush=True)
    if how == "stopped":
        child.kill()
        child.wait()
        return
    os.close(writer)
    said = b""
    if how == "read":
        while piece := os.read(reader, 65536):
            said += piece
    else:
        # Before the program's end is known the signal is the program's.
        while any(commandline(pid)[2:3] == [b"--program"] for pid in processes()):
            time.sleep(0.05)
        child.send_signal(getattr(signal, how))
    child.wait()
    print(f"ended, said {b'io_uring' in said}")
    if how == "SIGKILL":
        for _ in range(100):
            rest = left(mark) + os.listdir(folder)
            if not rest:
                break
            time.sleep(0.1)
        print("left", rest)


def commandline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def processes():
    return filter(str.isdigit, os.listdir("/proc"))


if sys.argv[1] == "--program":
    program(sys.argv[2])
else:
    run(sys.argv[1], sys.argv[3:])

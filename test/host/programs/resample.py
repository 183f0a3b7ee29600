"""A level-triggered interrupt, raised, heard, taken back and unmasked through an eventfd, twenty times."""
import ctypes
import fcntl
import os
import select
import struct
import time

INTX, MSI_SET = 0, 0x3B6E
DATA_EVENTFD, MASK, UNMASK, TRIGGER = 4, 8, 16, 32
RAISE, LOWER = 0x60, 0x64


def eventfd():
    return ctypes.CDLL(None).eventfd(0, os.O_NONBLOCK)


def open_device():
    container = os.open('/dev/vfio/vfio', os.O_RDWR)
    group = os.open('/dev/vfio/0', os.O_RDWR)
    fcntl.ioctl(group, 0x3B68, struct.pack('i', container))
    fcntl.ioctl(container, 0x3B66, 3)
    return container, group, fcntl.ioctl(group, 0x3B6A, bytearray(b'0000:00:04.0\0'))


def give(device, action, fd):
    fcntl.ioctl(device, MSI_SET, struct.pack('=IIIIIi', 24, DATA_EVENTFD | action, INTX, 0, 1, fd))


def store(device, at, value):
    os.pwrite(device, value.to_bytes(4, 'little'), at)


def came(fd, seconds):
    if not select.select([fd], [], [], seconds)[0]:
        return False
    os.read(fd, 8)
    return True


kept = open_device()
device = kept[2]
raised, unmask = eventfd(), eventfd()
give(device, TRIGGER, raised)
give(device, UNMASK, unmask)
heard = quiet = 0
for n in range(20):
    store(device, RAISE, 1)
    heard += came(raised, 5)
    # It is masked as it is delivered: raised once more, nothing comes before the resampling.
    store(device, RAISE, 1)
    quiet += not came(raised, 0.01)
    store(device, LOWER, 1)
    os.write(unmask, (1).to_bytes(8, 'little'))
    for _ in range(1000):
        if not select.select([unmask], [], [], 0)[0]:
            break  # it has been taken
        time.sleep(0.001)
print(f'20 interrupts, {heard} heard, {quiet} masked again')

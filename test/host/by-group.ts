/** Programs in Python that have a device of the machine, for tests that ask little of it. */

/** The beginning of one: `container` with an IOMMU of type 1, and `device` from the first group, with its registers to load. */
export const pythonByGroup = (bdf: string): string => `
import fcntl, os, struct, sys
container = os.open('/dev/vfio/vfio', os.O_RDWR)
group = os.open('/dev/vfio/0', os.O_RDWR)
fcntl.ioctl(group, 0x3B68, struct.pack('i', container))
fcntl.ioctl(container, 0x3B66, 3)
device = fcntl.ioctl(group, 0x3B6A, bytearray(b'${bdf}\\0'))
load = lambda at: struct.unpack('<I', os.pread(device, 4, at))[0]
`;

/**
 * VFIO_DEVICE_IOEVENTFD: a signal of an eventfd becomes a write to a register, so that a doorbell of a guest needs no
 * return to its VMM (vfio.md 2.9).
 */
import {
  EEXIST,
  EINVAL,
  ENODEV,
  ENOSPC,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import type { PciBar } from '../../pci/bar.ts';
import {
  VFIO_DEVICE_IOEVENTFD_SIZE_MASK,
  VFIO_PCI_BAR5_REGION_INDEX,
  vfio_device_ioeventfd,
} from '../../uapi/vfio.ts';
import { readArg } from '../ioctl.ts';
import { placeOf } from './regions.ts';
import type { VfioPciState } from './state.ts';

/** Of one device. */
const MOST = 1000;

/** The write that a signal makes. */
interface Write {
  readonly bar: PciBar;
  readonly at: number;
  readonly width: number;
  readonly value: bigint;
}

/**
 * With a negative fd the write is taken away again.
 * Errnos: EINVAL not one width, an fd below -1, no register of a BAR or one of the MSI-X table; EEXIST; ENODEV nothing to
 * take away; ENOSPC; those of the eventfd.
 * @kernel vfio_pci_ioeventfd
 */
export function ioeventfd(device: VfioPciState, task: Task, arg: bigint): Status {
  const given = readArg(task, arg, vfio_device_ioeventfd, 'fd');
  if (isErrno(given)) return given;
  const fd = given.fd | 0;
  const write = writeOf(device, given, fd);
  if (isErrno(write)) return write;
  const { bar, at, width, value } = write;
  const key = [bar.index, at, width, value].join();
  const { ioeventfds } = device;
  const known = ioeventfds.findIndex((each) => each.key === key);
  if (fd < 0) {
    if (known < 0) return refuse(ENODEV, 'no eventfd makes this write', { at, width });
    for (const each of ioeventfds.splice(known, 1)) each.stop();
    return undefined;
  }
  if (known >= 0) return refuse(EEXIST, 'an eventfd makes this write already', { at, width });
  if (ioeventfds.length >= MOST) return refuse(ENOSPC, 'a device has no more of them', { MOST });
  return add(device, task, { write, key, fd });
}

function add(
  device: VfioPciState,
  task: Task,
  { write, key, fd }: { write: Write; key: string; fd: number },
): Status {
  const eventfd = task.getEventfd(fd);
  if (isErrno(eventfd)) return eventfd;
  const { bar, at, width, value } = write;
  const listening = eventfd.listen(() => {
    if (bar.isIo || device.isMemoryAccessible()) bar.window.store(at, width, value);
  });
  device.ioeventfds.push({
    key,
    stop() {
      listening[Symbol.dispose]();
      eventfd.put();
    },
  });
  return undefined;
}

function writeOf(
  device: VfioPciState,
  given: { readonly flags: number; readonly offset: bigint; readonly data: bigint },
  fd: number,
): Result<Write, 'EINVAL'> {
  const { flags } = given;
  const isOneWidth = (flags & (flags - 1)) === 0 && (flags & VFIO_DEVICE_IOEVENTFD_SIZE_MASK) !== 0;
  if (!isOneWidth) return refuse(EINVAL, 'the flags are one width', { flags });
  if (fd < -1) return refuse(EINVAL, 'a negative fd other than -1', { fd });
  const width = flags;
  const { index, at } = placeOf(given.offset);
  const bar = index <= VFIO_PCI_BAR5_REGION_INDEX ? device.fn.bars[index] : undefined;
  if (!bar || at + width > bar.size) {
    return refuse(EINVAL, 'the write is to no register of a BAR', { index, at, width });
  }
  if (device.fn.msix?.bar === index && touchesTable(device, at, width)) {
    return refuse(EINVAL, 'the write is to the MSI-X table', { at, width });
  }
  return { bar, at, width, value: BigInt.asUintN(8 * width, given.data) };
}
function touchesTable({ fn }: VfioPciState, at: number, width: number): boolean {
  const { tableOffset, tableLength } = fn.msix!;
  return at < tableOffset + tableLength && at + width > tableOffset;
}

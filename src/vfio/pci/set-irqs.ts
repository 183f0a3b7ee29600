/** VFIO_DEVICE_GET_IRQ_INFO and SET_IRQS: checks of the arguments, and which handler a pair of index and action has (vfio.md 2.5, 2.6). */
import { EINVAL, ENOTTY, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { PCI_CAP_ID_MSI, PCI_MSI_FLAGS_QMASK } from '../../uapi/pci-regs.ts';
import {
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_REQ_IRQ_INDEX,
  vfio_irq_info,
  vfio_irq_set,
} from '../../uapi/vfio.ts';
import { behind, copyFromUser, copyToUser, readArg } from '../ioctl.ts';
import type { VfioPciState } from './state.ts';
import type { IrqData, IrqRequest } from './irqs.ts';

/** How many interrupts an index has now. */
export function irqCount(device: VfioPciState, index: number): number {
  const { fn } = device;
  switch (index) {
    case VFIO_PCI_INTX_IRQ_INDEX:
      return device.config.interruptPin === 0 ? 0 : 1;
    case VFIO_PCI_MSI_IRQ_INDEX: {
      const cap = fn.config.capability(PCI_CAP_ID_MSI);
      return cap === 0 ? 0 : 1 << ((fn.readConfig(cap + 2, 2) & PCI_MSI_FLAGS_QMASK) >> 1);
    }
    case VFIO_PCI_MSIX_IRQ_INDEX:
      return fn.msix?.vectors ?? 0;
    case VFIO_PCI_ERR_IRQ_INDEX:
      return device.hasErrIrq ? 1 : 0;
    case VFIO_PCI_REQ_IRQ_INDEX:
      return 1;
    default:
      return 0;
  }
}

function irqFlags(device: VfioPciState, index: number): number {
  if (index === VFIO_PCI_INTX_IRQ_INDEX) {
    return VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
  }
  // MSI-X vectors can be added while it is on, where there are any.
  const grows = index === VFIO_PCI_MSIX_IRQ_INDEX && device.fn.msix && device.msixGrows;
  return VFIO_IRQ_INFO_EVENTFD | (grows ? 0 : VFIO_IRQ_INFO_NORESIZE);
}

/** @kernel vfio_pci_ioctl_get_irq_info */
export function getIrqInfo(device: VfioPciState, task: Task, arg: bigint): Status {
  const info = readArg(task, arg, vfio_irq_info, 'count');
  if (isErrno(info)) return info;
  if (info.index >= VFIO_PCI_NUM_IRQS) {
    return refuse(EINVAL, 'there is no such interrupt index', { index: info.index });
  }
  if (info.index === VFIO_PCI_ERR_IRQ_INDEX && !device.hasErrIrq) {
    return refuse(EINVAL, 'errors are told of PCIe functions only', { device: device.fn.name });
  }
  info.flags = irqFlags(device, info.index);
  info.count = irqCount(device, info.index);
  return copyToUser(task, arg, info.bytes);
}

/** The result may be positive: vectors available when there are too few. @kernel vfio_pci_ioctl_set_irqs */
export function setIrqs(device: VfioPciState, task: Task, arg: bigint): Result<number> {
  const set = readArg(task, arg, vfio_irq_set, 'count');
  if (isErrno(set)) return set;
  const wrong = checkSet(set, irqCount(device, set.index));
  if (wrong) return wrong;
  const data = readData(task, arg, set);
  if (isErrno(data)) return data;
  const request = { task, start: set.start, count: set.count, data };
  return dispatch(device, set.index, set.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK, request);
}

/** EINVAL: no such index, flag or range; `available`: interrupts that the index has. */
export function checkSet(set: vfio_irq_set, available: number): Status {
  const { index, start, count, flags } = set;
  if (index >= VFIO_PCI_NUM_IRQS) {
    return refuse(EINVAL, 'there is no such interrupt index', { index });
  }
  if (count >= 0xffff_ffff - start) return refuse(EINVAL, 'start and count wrap', { start, count });
  if (flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK)) {
    return refuse(EINVAL, 'an unknown flag', { flags });
  }
  if (start < available && start + count <= available) return undefined;
  return refuse(EINVAL, 'the index does not have so many interrupts', { start, count, available });
}

const ELEMENT: Readonly<Record<number, number>> = {
  [VFIO_IRQ_SET_DATA_NONE]: 0,
  [VFIO_IRQ_SET_DATA_BOOL]: 1,
  [VFIO_IRQ_SET_DATA_EVENTFD]: 4,
};

/** What follows the struct. @kernel vfio_set_irqs_validate_and_prepare */
export function readData(task: Task, arg: bigint, set: vfio_irq_set): Result<IrqData> {
  const kind = set.flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
  const element = ELEMENT[kind];
  if (element === undefined) {
    return refuse(EINVAL, 'exactly one of DATA_NONE, DATA_BOOL and DATA_EVENTFD', {
      flags: set.flags,
    });
  }
  if (element === 0) return { kind: 'none' };
  const length = set.count * element;
  if (set.argsz - vfio_irq_set.size < length) {
    return refuse(EINVAL, 'argsz leaves no room for the data', { argsz: set.argsz, length });
  }
  const raw = copyFromUser(task, behind(arg, vfio_irq_set), length);
  if (isErrno(raw)) return raw;
  if (element === 1) return { kind: 'bool', values: raw };
  const view = new DataView(raw.buffer);
  return {
    kind: 'eventfd',
    fds: Int32Array.from({ length: set.count }, (_, n) => view.getInt32(4 * n, true)),
  };
}

type Handler = (device: VfioPciState, request: IrqRequest) => Result<number>;
const none = (rc: Status): Result<number> => rc ?? 0;

/** Pairs that are not here are ENOTTY. */
const HANDLERS: Readonly<Record<number, Readonly<Record<number, Handler>>>> = {
  [VFIO_PCI_INTX_IRQ_INDEX]: {
    [VFIO_IRQ_SET_ACTION_MASK]: (device, request) => none(device.irqs.intxMask(request)),
    [VFIO_IRQ_SET_ACTION_UNMASK]: (device, request) => none(device.irqs.intxUnmask(request)),
    [VFIO_IRQ_SET_ACTION_TRIGGER]: (device, request) => none(device.irqs.intxTrigger(request)),
  },
  [VFIO_PCI_MSI_IRQ_INDEX]: {
    [VFIO_IRQ_SET_ACTION_TRIGGER]: (device, request) => device.irqs.msiTrigger('msi', request),
  },
  [VFIO_PCI_MSIX_IRQ_INDEX]: {
    [VFIO_IRQ_SET_ACTION_TRIGGER]: (device, request) => device.irqs.msiTrigger('msix', request),
  },
  [VFIO_PCI_ERR_IRQ_INDEX]: {
    [VFIO_IRQ_SET_ACTION_TRIGGER]: (device, request) =>
      none(device.irqs.singleTrigger('err', request)),
  },
  [VFIO_PCI_REQ_IRQ_INDEX]: {
    [VFIO_IRQ_SET_ACTION_TRIGGER]: (device, request) =>
      none(device.irqs.singleTrigger('req', request)),
  },
};

function dispatch(
  device: VfioPciState,
  index: number,
  action: number,
  request: IrqRequest,
): Result<number> {
  const handler = HANDLERS[index]?.[action];
  if (handler) return handler(device, request);
  return refuse(ENOTTY, 'the index does not know this action', { index, action });
}

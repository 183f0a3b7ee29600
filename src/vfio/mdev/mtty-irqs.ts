/** Interrupts of mtty: the pin, which masks itself, or one message (vfio.md 6.4). */
import { EINVAL, ENOTTY, isErrno, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Eventfd, Task } from '../../base/task.ts';
import {
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  vfio_irq_info,
  vfio_irq_set,
} from '../../uapi/vfio.ts';
import { copyToUser, readArg } from '../ioctl.ts';
import type { IrqData, IrqRequest } from '../pci/irqs.ts';
import { checkSet, readData } from '../pci/set-irqs.ts';

const FLAGS: Readonly<Record<number, number>> = {
  [VFIO_PCI_INTX_IRQ_INDEX]:
    VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED,
  [VFIO_PCI_MSI_IRQ_INDEX]: VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE,
};

export class MttyIrqs {
  /** GET_INFO was called: before, the sample believes it has none. */
  isCounted = false;
  #index = VFIO_PCI_INTX_IRQ_INDEX;
  readonly #eventfds = new Map<number, Eventfd>();
  #isMasked = false;

  /** The device wants to be heard. The pin is not heard again before it is unmasked. */
  signal(): void {
    const isPin = this.#index === VFIO_PCI_INTX_IRQ_INDEX;
    if (isPin && this.#isMasked) return;
    const eventfd = this.#eventfds.get(this.#index);
    eventfd?.signal();
    if (isPin && eventfd) this.#isMasked = true;
  }
  close(): void {
    for (const index of [...this.#eventfds.keys()]) this.#drop(index);
    this.#isMasked = false;
    this.isCounted = false;
  }

  getInfo(task: Task, arg: bigint): Status {
    const info = readArg(task, arg, vfio_irq_info, 'count');
    if (isErrno(info)) return info;
    const flags = FLAGS[info.index];
    if (!this.isCounted || flags === undefined) {
      return refuse(EINVAL, 'there is no such interrupt index', { index: info.index });
    }
    info.flags = flags;
    info.count = 1;
    return copyToUser(task, arg, info.bytes);
  }
  set(task: Task, arg: bigint): Status {
    const set = readArg(task, arg, vfio_irq_set, 'count');
    if (isErrno(set)) return set;
    const wrong = checkSet(set, this.isCounted ? VFIO_PCI_NUM_IRQS : 0);
    if (wrong) return wrong;
    const data = readData(task, arg, set);
    if (isErrno(data)) return data;
    const { index, start, count, flags } = set;
    if (FLAGS[index] === undefined) {
      return refuse(ENOTTY, 'mtty has the pin and one message', { index });
    }
    const action = flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    if (action === VFIO_IRQ_SET_ACTION_TRIGGER) {
      return this.#trigger(index, { task, start, count, data });
    }
    const masks = action === VFIO_IRQ_SET_ACTION_MASK;
    if (index !== VFIO_PCI_INTX_IRQ_INDEX || (!masks && action !== VFIO_IRQ_SET_ACTION_UNMASK)) {
      return refuse(ENOTTY, 'the index does not know this action', { index, action });
    }
    if (isAsked(data)) this.#isMasked = masks;
    return undefined;
  }

  #trigger(index: number, { task, count, data }: IrqRequest): Status {
    if (data.kind !== 'eventfd') {
      if (count === 0) this.#drop(index);
      else if (isAsked(data)) this.#eventfds.get(index)?.signal();
      return undefined;
    }
    const [fd = -1] = data.fds;
    if (fd < 0) {
      this.#drop(index);
      return undefined;
    }
    const eventfd = task.getEventfd(fd);
    if (isErrno(eventfd)) return eventfd;
    this.#drop(index);
    this.#eventfds.set(index, eventfd);
    this.#index = index;
    this.#isMasked = false;
    return undefined;
  }
  #drop(index: number): void {
    this.#eventfds.get(index)?.put();
    this.#eventfds.delete(index);
  }
}

function isAsked(data: IrqData): boolean {
  return data.kind === 'none' || (data.kind === 'bool' && (data.values[0] ?? 0) !== 0);
}

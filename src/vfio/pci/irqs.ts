/**
 * Interrupts of a vfio PCI device: who is signalled when, and the matrix of SET_IRQS (vfio.md 2.5, 2.6).
 *
 * Only one of INTx, MSI and MSI-X is active. The kernel side of an eventfd is held by this object: a program may
 * close its fd and signalling goes on.
 */
import {
  EBUSY,
  EINVAL,
  ENOTTY,
  ERANGE,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { bugOn } from '../../base/bug.ts';
import { refuse, type Facts } from '../../base/refuse.ts';
import type { Eventfd, Task } from '../../base/task.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import { PCI_COMMAND, PCI_COMMAND_INTX_DISABLE } from '../../uapi/pci-regs.ts';
import type { VfioPciConfig } from './config.ts';
import type { PciIrqs } from './pci-irqs.ts';

/** Data of SET_IRQS after the generic checks: nothing, truth values, or fds. */
export type IrqData =
  | { readonly kind: 'none' }
  | { readonly kind: 'bool'; readonly values: Uint8Array }
  | { readonly kind: 'eventfd'; readonly fds: Int32Array };

export interface IrqRequest {
  readonly task: Task;
  readonly start: number;
  readonly count: number;
  readonly data: IrqData;
}

export type ActiveIrq = 'none' | 'intx' | 'msi' | 'msix';

export class VfioPciIrqs {
  readonly #fn: PciDeviceFunction;
  readonly #irqs: PciIrqs;
  readonly #config: () => VfioPciConfig;
  readonly #grows: () => boolean;
  #active: ActiveIrq = 'none';
  /** Vector to its eventfd. */
  readonly #vectors = new Map<number, Eventfd>();
  #msiCount = 0;
  #intx: Eventfd | undefined;
  #masked = false;
  #unmask: { readonly eventfd: Eventfd; readonly listening: Disposable } | undefined;
  readonly #single = new Map<'err' | 'req', Eventfd>();

  /** `grows`: can MSI-X vectors be added while it is on? */
  constructor(
    pci: { readonly fn: PciDeviceFunction; readonly irqs: PciIrqs },
    config: () => VfioPciConfig,
    grows: () => boolean,
  ) {
    this.#fn = pci.fn;
    this.#irqs = pci.irqs;
    this.#config = config;
    this.#grows = grows;
  }
  get active(): ActiveIrq {
    return this.#active;
  }
  msiVectorsLg2(): number | undefined {
    return this.#active === 'msi' ? Math.ceil(Math.log2(this.#msiCount)) : undefined;
  }
  /** The last close. */
  disableAll(): void {
    this.#disable();
    for (const eventfd of this.#single.values()) eventfd.put();
    this.#single.clear();
  }
  /** Signal the ERR or REQ eventfd, if there is one. */
  signalSingle(which: 'err' | 'req'): void {
    const eventfd = this.#single.get(which);
    eventfd?.signal();
    const { env, ref: device } = this.#fn;
    if (!env.trace.on) return;
    const delivered = eventfd !== undefined;
    env.trace.emit({ kind: 'interrupt', device, index: which, vector: 0, delivered });
  }

  // ---- INTx

  /** @kernel vfio_pci_set_intx_mask */
  intxMask(request: IrqRequest): Status {
    const wrong = this.#checkIntx(request) ?? this.#refuseEventfd(request);
    if (wrong) return wrong;
    if (isAsked(request.data)) this.#mask();
    return undefined;
  }
  /** @kernel vfio_pci_set_intx_unmask */
  intxUnmask(request: IrqRequest): Status {
    const wrong = this.#checkIntx(request);
    if (wrong) return wrong;
    const { data } = request;
    if (data.kind === 'eventfd') return this.#armUnmask(request.task, data.fds[0]!);
    if (isAsked(data)) this.#unmaskNow();
    return undefined;
  }
  /** @kernel vfio_pci_set_intx_trigger */
  intxTrigger(request: IrqRequest): Status {
    const { data, start, count } = request;
    if (this.#asksToDisable('intx', request)) {
      this.#disable();
      return undefined;
    }
    if ((this.#active !== 'intx' && this.#active !== 'none') || start !== 0 || count !== 1) {
      return refuse(EINVAL, 'INTx is one line, and MSI or MSI-X must be off', { start, count });
    }
    if (data.kind === 'eventfd') return this.#setIntx(request.task, data.fds[0]!);
    if (this.#active !== 'intx')
      return refuse(EINVAL, 'INTx is not enabled', { active: this.#active });
    if (isAsked(data) && !this.#config().intxDisabled) this.#intx?.signal();
    return undefined;
  }
  /** Virtual INTX_DISABLE changed: it masks and unmasks like the user. */
  setIntxDisabled(disabled: boolean): void {
    if (disabled) this.#mask();
    else if (this.#active === 'intx') this.#unmaskNow();
    else this.#setLine(true);
  }

  #checkIntx({ start, count }: IrqRequest): Status {
    if (this.#active === 'intx' && start === 0 && count === 1) return undefined;
    return refuse(EINVAL, 'INTx is one line and must be enabled', { start, count });
  }
  #refuseEventfd({ data }: IrqRequest): Status {
    return data.kind === 'eventfd'
      ? refuse(ENOTTY, 'INTx is not masked by an eventfd', { fd: data.fds[0]! })
      : undefined;
  }
  #setIntx(task: Task, fd: number): Status {
    const eventfd = fd < 0 ? undefined : task.getEventfd(fd);
    if (isErrno(eventfd)) return eventfd;
    if (this.#active === 'none') {
      const rc = this.#irqs.requestIntx(() => this.#onIntx());
      if (rc) {
        eventfd?.put();
        return rc;
      }
      this.#active = 'intx';
      this.#masked = this.#config().intxDisabled;
      this.#intx = eventfd;
      if (!this.#masked) this.#openLine();
      return undefined;
    }
    this.#intx?.put();
    this.#intx = eventfd;
    return undefined;
  }
  /** A line that is up already fires at once. */
  #openLine(): void {
    this.#setLine(true);
    if (this.#fn.intxAsserted) this.#onIntx();
  }
  /** The line is masked by itself until the user unmasks it. */
  #onIntx(): void {
    if (this.#masked) return;
    this.#mask();
    this.#intx?.signal();
  }
  #mask(): void {
    this.#masked = this.#active === 'intx';
    this.#setLine(false);
  }
  #unmaskNow(): void {
    if (!this.#masked || this.#config().intxDisabled) return;
    if (this.#fn.intxAsserted) {
      this.#intx?.signal();
      return;
    }
    this.#masked = false;
    this.#setLine(true);
  }
  /** The real INTX_DISABLE. */
  #setLine(open: boolean): void {
    const command = this.#fn.command & ~PCI_COMMAND_INTX_DISABLE;
    this.#fn.writeConfig(PCI_COMMAND, 2, command | (open ? 0 : PCI_COMMAND_INTX_DISABLE));
  }
  #armUnmask(task: Task, fd: number): Status {
    if (fd < 0) {
      this.#disarmUnmask();
      return undefined;
    }
    const eventfd = task.getEventfd(fd);
    if (isErrno(eventfd)) return eventfd;
    if (this.#unmask) {
      eventfd.put();
      return refuse(EBUSY, 'an eventfd unmasks INTx already', { fd });
    }
    this.#unmask = { eventfd, listening: eventfd.listen(() => this.#unmaskNow()) };
    return undefined;
  }
  #disarmUnmask(): void {
    this.#unmask?.listening[Symbol.dispose]();
    this.#unmask?.eventfd.put();
    this.#unmask = undefined;
  }

  // ---- MSI and MSI-X

  /**
   * A positive number is how many vectors there are when that is too few.
   * @kernel vfio_pci_set_msi_trigger
   */
  msiTrigger(kind: 'msi' | 'msix', request: IrqRequest): Result<number> {
    const { data } = request;
    if (this.#asksToDisable(kind, request)) {
      this.#disable();
      return 0;
    }
    if (this.#active !== kind && this.#active !== 'none') {
      return refuse(EINVAL, 'another kind of interrupt is active', { active: this.#active });
    }
    if (data.kind === 'eventfd') {
      return this.#active === kind
        ? (this.#setBlock(request, data.fds) ?? 0)
        : this.#enableMsi(kind, request, data.fds);
    }
    if (this.#active !== kind) return refuse(EINVAL, 'no interrupt is enabled', { kind });
    return this.#triggerAll(kind, request);
  }
  #triggerAll(kind: 'msi' | 'msix', { data, start, count }: IrqRequest): 0 {
    let signalled = 0;
    for (let n = 0; n < count; n++) {
      const isAskedFor = data.kind === 'none' || (data.kind === 'bool' && data.values[n]);
      const eventfd = isAskedFor ? this.#vectors.get(start + n) : undefined;
      eventfd?.signal();
      if (eventfd) signalled++;
    }
    if (signalled === 0) this.#remark('no vector was triggered', { kind, start, count });
    return 0;
  }
  #remark(rule: string, facts: Facts): void {
    this.#fn.env.trace.remark(rule, { device: this.#fn.name, ...facts });
  }
  #asksToDisable(kind: ActiveIrq, { count, data }: IrqRequest): boolean {
    return this.#active === kind && count === 0 && data.kind === 'none';
  }
  #enableMsi(kind: 'msi' | 'msix', request: IrqRequest, fds: Int32Array): Result<number> {
    const wanted = request.start + request.count;
    if (wanted === 0) return refuse(ERANGE, 'no vector to enable the interrupt with', { kind });
    const given = this.#irqs.allocVectors(kind, wanted);
    if (isErrno(given)) return given;
    if (given < wanted) {
      this.#irqs.freeVectors();
      return given;
    }
    this.#active = kind;
    this.#msiCount = wanted;
    const rc = this.#setBlock(request, fds);
    if (!rc) return 0;
    this.#disable();
    return rc;
  }
  /** One failing vector clears those before it in the call. */
  #setBlock({ task, start }: IrqRequest, fds: Int32Array): Status {
    const hasNone = fds.every((fd, n) => fd < 0 && !this.#vectors.has(start + n));
    if (hasNone) this.#remark('no vector was given an eventfd', { start, count: fds.length });
    const [wanted, enabled] = [start + fds.length, this.#msiCount];
    if (this.#active === 'msix' && wanted > enabled && !this.#grows()) {
      return refuse(EINVAL, 'this kernel adds no MSI-X vectors later', { wanted, enabled });
    }
    for (const [n, fd] of fds.entries()) {
      const rc = this.#setVector(task, start + n, fd);
      if (!rc) continue;
      for (let back = start; back < start + n; back++) this.#clearVector(back);
      return rc;
    }
    return undefined;
  }
  #setVector(task: Task, vector: number, fd: number): Status {
    this.#clearVector(vector);
    if (fd < 0) return undefined;
    const rc = this.#irqs.allocAt(vector);
    if (rc) return rc;
    const eventfd = task.getEventfd(fd);
    if (isErrno(eventfd)) return eventfd;
    this.#vectors.set(vector, eventfd);
    this.#irqs.request(vector, () => eventfd.signal());
    return undefined;
  }
  #clearVector(vector: number): void {
    const eventfd = this.#vectors.get(vector);
    if (!eventfd) return;
    this.#irqs.free(vector);
    this.#vectors.delete(vector);
    eventfd.put();
  }

  // ---- ERR and REQ

  /** @kernel vfio_pci_set_ctx_trigger_single */
  singleTrigger(which: 'err' | 'req', request: IrqRequest): Status {
    const { data, start, count, task } = request;
    bugOn(start !== 0 || count > 1, 'the number of events was not checked');
    if (data.kind === 'none') return this.#singleNone(which, count);
    if (count === 0) return refuse(EINVAL, 'the data has no element', { which });
    if (data.kind === 'bool') {
      if (data.values[0]) this.signalSingle(which);
      return undefined;
    }
    return this.#singleEventfd(which, task, data.fds[0]!);
  }
  #singleNone(which: 'err' | 'req', count: number): Status {
    const eventfd = this.#single.get(which);
    if (!eventfd) return refuse(EINVAL, 'no eventfd is set for this event', { which });
    if (count > 0) this.signalSingle(which);
    else this.#dropSingle(which);
    return undefined;
  }
  #singleEventfd(which: 'err' | 'req', task: Task, fd: number): Status {
    if (fd < -1) return refuse(EINVAL, 'a negative fd other than -1', { fd });
    const eventfd = fd === -1 ? undefined : task.getEventfd(fd);
    if (isErrno(eventfd)) return eventfd;
    this.#dropSingle(which);
    if (eventfd) this.#single.set(which, eventfd);
    return undefined;
  }
  #dropSingle(which: 'err' | 'req'): void {
    this.#single.get(which)?.put();
    this.#single.delete(which);
  }

  #disable(): void {
    if (this.#active === 'intx') {
      this.#disarmUnmask();
      this.#irqs.freeIntx();
      this.#intx?.put();
      this.#intx = undefined;
      this.#masked = false;
    } else if (this.#active !== 'none') {
      for (const vector of [...this.#vectors.keys()]) this.#clearVector(vector);
      this.#irqs.freeVectors();
      this.#msiCount = 0;
    }
    this.#active = 'none';
  }
}

/** No data means yes. */
function isAsked(data: IrqData): boolean {
  return data.kind === 'none' || (data.kind === 'bool' && data.values[0] !== 0);
}

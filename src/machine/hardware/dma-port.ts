/**
 * The bus between a device model and memory: one DevicePort per function (vfio.md 7.2).
 *
 * A DMA address goes granule by granule through the remapping unit above the function; runs that come out contiguous
 * move as one. Bytes before a refused granule have moved, as on a real bus.
 */
import { Bug } from '../../base/bug.ts';
import type { Clock } from '../../base/clock.ts';
import { EFAULT, type Status } from '../../base/errno.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import type { PhysicalMemory } from '../../base/physical-memory.ts';
import { refuse } from '../../base/refuse.ts';
import { hex, PAGE_SIZE } from '../../base/u64.ts';
import type { RemappingUnit } from '../../core/contract/remapping-unit.ts';
import type { DevicePort } from '../../devices/port.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import {
  FIRST_MESSAGE_PFN,
  LAST_MESSAGE_PFN,
  type MessageSink,
  type MsiMessage,
} from '../../pci/messages.ts';
import type { InterruptController } from './interrupt-controller.ts';

export interface Bus {
  readonly env: KernelEnv;
  readonly memory: PhysicalMemory;
  readonly controller: InterruptController;
}

export class DmaPort implements DevicePort, MessageSink {
  readonly #bus: Bus;
  /** The unit translates interrupt messages like every other write; most let them pass, whatever a table says. */
  translatesMessages = false;
  #fn: PciDeviceFunction | undefined;
  #unit: RemappingUnit | undefined;
  #requesterId = 0;

  constructor(bus: Bus) {
    this.#bus = bus;
  }
  /** The function this is the port of. The requester id is what its root sees: a bridge's, behind one that takes over. */
  connect(fn: PciDeviceFunction, requesterId: number): void {
    this.#fn = fn;
    this.#requesterId = requesterId;
  }
  /** Undefined: addresses on the bus are physical. */
  set unit(unit: RemappingUnit | undefined) {
    this.#unit = unit;
  }
  get unit(): RemappingUnit | undefined {
    return this.#unit;
  }
  get requesterId(): number {
    return this.#requesterId;
  }

  get clock(): Clock {
    return this.#bus.env.clock;
  }
  get messagesEnabled(): boolean {
    return this.#function.messagesEnabled;
  }
  interrupt(vector: number): void {
    this.#function.raise(vector);
  }
  intx(asserted: boolean): void {
    this.#fn?.setIntx(asserted);
  }

  /** A message of the function's own MSI or MSI-X capability, on its way to the controller. */
  message({ addressHi, addressLo, data }: MsiMessage): boolean {
    const lg2 = this.#unit?.granuleLg2 ?? 12;
    const granule = addressHi * 2 ** (32 - lg2) + Math.floor(addressLo / 2 ** lg2);
    const end = this.translatesMessages ? this.#translate(granule, -1, true) : granule;
    return isMessage(end, lg2) && this.#bus.controller.message(this.#function, data);
  }
  line(): boolean {
    return this.#bus.controller.line(this.#function);
  }

  read(at: bigint, into: Uint8Array, pasid = -1): Status<'EFAULT'> {
    return this.#transfer(at, into, pasid, false);
  }
  write(at: bigint, from: Uint8Array, pasid = -1): Status<'EFAULT'> {
    return this.#transfer(at, from, pasid, true);
  }

  get #function(): PciDeviceFunction {
    if (!this.#fn) throw new Bug('a device model used its port before it was plugged in');
    return this.#fn;
  }

  #transfer(at: bigint, bytes: Uint8Array, pasid: number, write: boolean): Status<'EFAULT'> {
    const rc = this.#function.busMaster
      ? this.#runs(at, bytes, pasid, write)
      : refuse(EFAULT, 'bus mastering is off: the function may not start a transfer', {
          device: this.#function.name,
        });
    const { trace } = this.#bus.env;
    if (trace.on) {
      trace.emit({
        kind: 'dma',
        device: this.#function.name,
        ...(pasid >= 0 && { pasid }),
        write,
        iova: at,
        length: bytes.length,
        ok: rc === undefined,
      });
    }
    return rc;
  }

  #runs(at: bigint, bytes: Uint8Array, pasid: number, write: boolean): Status<'EFAULT'> {
    const unit = this.#unit;
    const lg2 = unit?.granuleLg2 ?? 12;
    const size = 1 << lg2;
    let granule = Number(at >> BigInt(lg2));
    let offset = Number(at & BigInt(size - 1));
    const passes = pasid < 0 && !this.translatesMessages;
    if (passes && isMessage(granule, lg2)) return this.#dataWord(at, bytes, write);
    let from = 0;
    while (from < bytes.length) {
      const first = this.#translate(granule, pasid, write);
      if (first < 0) return this.#blocked(granule, lg2, write);
      let n = Math.min(bytes.length - from, size - offset);
      let count = 1;
      let refused = false;
      while (from + n < bytes.length) {
        const next = this.#translate(granule + count, pasid, write);
        refused = next < 0;
        if (next !== first + count) break;
        n = Math.min(bytes.length - from, n + size);
        count++;
      }
      const rc = this.#move(first, lg2, offset, bytes.subarray(from, from + n), write);
      if (rc) return rc;
      if (refused) return this.#blocked(granule + count, lg2, write);
      from += n;
      granule += count;
      offset = 0;
    }
    return undefined;
  }

  /** The output granule, -1 when blocked. */
  #translate(granule: number, pasid: number, write: boolean): number {
    if (!this.#unit) return granule;
    return this.#unit.translate(this.#requesterId, pasid, granule, write);
  }

  #move(
    granule: number,
    lg2: number,
    offset: number,
    bytes: Uint8Array,
    write: boolean,
  ): Status<'EFAULT'> {
    // Only a message that was translated comes so far.
    if (isMessage(granule, lg2)) {
      return this.#dataWord((BigInt(granule) << BigInt(lg2)) + BigInt(offset), bytes, write);
    }
    const perFrame = PAGE_SIZE >> lg2;
    const pfn = Math.floor(granule / perFrame);
    const at = (granule % perFrame) * (1 << lg2) + offset;
    const memory = this.#bus.memory;
    return write ? memory.write(pfn, at, bytes) : memory.read(pfn, at, bytes);
  }

  #blocked(granule: number, lg2: number, write: boolean): Status<'EFAULT'> {
    return refuse(EFAULT, 'the IOMMU blocked the access', {
      device: this.#function.name,
      iova: hex(BigInt(granule) << BigInt(lg2)),
      write,
    });
  }

  /** A message the device made itself instead of asking the port for an interrupt. */
  #dataWord(at: bigint, bytes: Uint8Array, write: boolean): Status<'EFAULT'> {
    if (!write || bytes.length !== 4 || at % 4n !== 0n) {
      return refuse(EFAULT, 'the interrupt window takes aligned 4-byte writes only', {
        iova: hex(at),
      });
    }
    const data = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    this.#bus.controller.message(this.#function, data);
    return undefined;
  }
}

function isMessage(granule: number, lg2: number): boolean {
  const pfn = Math.floor(granule / (PAGE_SIZE >> lg2));
  return pfn >= FIRST_MESSAGE_PFN && pfn <= LAST_MESSAGE_PFN;
}

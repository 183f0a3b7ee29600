/**
 * The bus between a function and memory: its transfers and its messages (vfio.md 7.2).
 *
 * A DMA address goes granule by granule through the remapping unit above the function; runs that come out contiguous
 * move as one. Bytes before a refused granule have moved, as on a real bus.
 *
 * Runs wait until no more of them come, and move in one step where they lead to one memory (machine/memory/move-runs.ts).
 * While somebody listens to everything each is moved before the next address is translated: that is the slow way, and the test's
 * oracle. Whoever listens to DMA alone is told of a transfer that has succeeded where it went, when he asks.
 */
import type { BarMemory } from '../../base/bar-memory.ts';
import { Bug } from '../../base/bug.ts';
import { EFAULT, isErrno, type Result, type Status } from '../../base/errno.ts';
import type { MemoryPiece } from '../../base/events.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import type { MemoryRun, PhysicalMemory } from '../../base/physical-memory.ts';
import { listening, refuse, type Refusal } from '../../base/refuse.ts';
import { hex, PAGE_SIZE } from '../../base/u64.ts';
import type { RemappingUnit } from '../../core/contract/remapping-unit.ts';
import {
  REGISTER_WORK,
  type DeviceDma,
  type DevicePageRequest,
  type DmaPiece,
} from '../../devices/port.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import {
  FIRST_MESSAGE_PFN,
  isInterrupt,
  LAST_MESSAGE_PFN,
  type MsiMessage,
} from '../../pci/messages.ts';
import type { DeviceActivity } from '../../vfio/migration/migratable.ts';
import { faultyMessage, faultyTransfer, part, type FaultyBus } from './device-faults.ts';
import type { InterruptController } from './interrupt-controller.ts';

/** What a transaction of a device can reach. */
export interface Bus {
  readonly env: KernelEnv;
  readonly memory: PhysicalMemory;
  readonly controller: InterruptController;
  /** Of a machine whose devices may go wrong. */
  readonly faults?: FaultyBus | undefined;
  /** What holds the plain pages of a BAR. Default: memory that no program can map. */
  readonly newBarMemory?: ((length: number) => BarMemory) | undefined;
}

/** Where a transfer goes: to addresses in a row, or to those of a list. */
type Target = bigint | readonly DmaPiece[];

/** How a transfer is asked for. `most`: work after which it ends. */
interface Way {
  readonly pasid: number;
  readonly write: boolean;
  readonly most: number;
}
/** Bytes to move, and in which direction. */
interface Transfer {
  readonly bytes: Uint8Array;
  readonly pasid: number;
  readonly write: boolean;
  /** What has been moved, while somebody listens to everything. */
  readonly moved: MemoryPiece[] | undefined;
  /** Where it has gone, while somebody listens to DMA. */
  readonly runs: TranslatedRun[] | undefined;
  /** Translated, and not moved yet. */
  pending: MemoryRun[];
  /** Work of the port at which it ends, and whether it has. */
  readonly limit: number;
  isCut: boolean;
}

/** A part of a transfer: from this byte on, so many. */
interface Part {
  readonly from: number;
  readonly length: number;
}
/** Bytes of a transfer that are in one place, before and after translation; granules are of 2^lg2 bytes. */
interface TranslatedRun extends Part {
  readonly granule: number;
  readonly toGranule: number;
  readonly lg2: number;
  readonly offset: number;
}
/** More than a list of any device model has; what waits takes memory. */
const MOST_PENDING = 1024;

/** The DMA of one function; addresses are those the device puts on the bus. */
export class DmaPort implements DeviceDma {
  /** What its root sees: a bridge's, behind one that takes over. */
  readonly requesterId: number;
  /** Undefined: addresses on the bus are physical. */
  readonly unit: RemappingUnit | undefined;
  moved = 0;
  work = 0;
  /** What a migration lets the device do. */
  activity: DeviceActivity = 'running';
  /** Told of what it writes without a PASID. */
  heardWrite: ((iova: bigint, length: number) => void) | undefined;
  readonly #bus: Bus;
  readonly #fn: PciDeviceFunction;

  constructor(parts: {
    bus: Bus;
    /** The function this is the port of. */
    fn: PciDeviceFunction;
    requesterId: number;
    unit: RemappingUnit | undefined;
  }) {
    this.#bus = parts.bus;
    this.#fn = parts.fn;
    this.requesterId = parts.requesterId;
    this.unit = parts.unit;
  }

  /**
   * A message of the function's own MSI or MSI-X capability: through the unit to the interrupt controller. False: it
   * was stopped on the way, it ends in memory, or nobody waits for it.
   */
  message(message: MsiMessage): boolean {
    const { faults } = this.#bus;
    if (!faults) return this.#message(message);
    return faultyMessage(faults, this.#fn.name, () => this.#message(message));
  }
  #message(message: MsiMessage): boolean {
    const end = this.unit ? this.unit.message(this.requesterId, message) : message;
    return (
      end !== undefined && isInterrupt(end) && this.#bus.controller.message(this.#fn, end.data)
    );
  }
  /** False: software has not enabled page requests or bus mastering, or the request is lost; there will be no answer. */
  requestPage(request: DevicePageRequest, respond: (code: number) => void): boolean {
    const { unit, requesterId } = this;
    if (!unit || !this.#mayAskForPages) return false;
    const { at, pasid = -1, read, write, last, group } = request;
    const iovaG = Number(at >> BigInt(unit.granuleLg2));
    return unit.requestPage({ requesterId, pasid, iovaG, read, write, last, group }, respond);
  }
  get #mayAskForPages(): boolean {
    return this.unit !== undefined && this.#fn.pageRequestsEnabled && this.#fn.busMaster;
  }
  read(at: Target, into: Uint8Array, pasid = -1, most = Infinity): Status<'EFAULT'> {
    return this.#asked(at, into, { pasid, write: false, most });
  }
  write(at: Target, from: Uint8Array, pasid = -1, most = Infinity): Status<'EFAULT'> {
    return this.#asked(at, from, { pasid, write: true, most });
  }

  #asked(at: Target, all: Uint8Array, way: Way): Status<'EFAULT'> {
    const { faults } = this.#bus;
    const { most } = way;
    // What goes wrong with a transfer may happen later: it is cut beforehand, as if all of it were registers.
    const length = faults ? Math.max(8, 8 * Math.floor(most / REGISTER_WORK)) : most;
    const isLong = all.length > length;
    const [to, bytes] = isLong ? [part(at, 0, length), all.subarray(0, length)] : [at, all];
    if (!faults) return this.#transfer(to, bytes, way);
    this.moved = 0;
    const rc = faultyTransfer(faults, {
      ...{ at: to, bytes, write: way.write },
      device: this.#fn.name,
      length: bytes.length,
      mayAskForPages: this.#mayAskForPages,
      carryOut: (where, what) => this.#transfer(where, what, { ...way, most: Infinity }),
      askForPage: (request) => this.requestPage({ pasid: way.pasid, ...request }, () => undefined),
    });
    // What the device believes: of what is lost or late as well.
    if (!rc) this.moved = bytes.length;
    return rc;
  }

  #transfer(at: Target, bytes: Uint8Array, { pasid, write, most }: Way): Status<'EFAULT'> {
    const { trace } = this.#bus.env;
    const transfer: Transfer = {
      bytes,
      pasid,
      write,
      moved: trace.on ? [] : undefined,
      runs: trace.hears.dma && !trace.on ? [] : undefined,
      pending: [],
      limit: this.work + most,
      isCut: false,
    };
    this.moved = 0;
    const rc = trace.heedsTroubles ? this.#heeded(at, transfer) : this.#carryOut(at, transfer);
    this.work += this.moved;
    return rc;
  }
  #carryOut(at: Target, transfer: Transfer): Status<'EFAULT'> {
    const rc = this.#start(at, transfer) ?? this.#flush(transfer);
    return transfer.isCut ? undefined : rc;
  }
  /** The same, told to whoever listens. */
  #heeded(at: Target, transfer: Transfer): Status<'EFAULT'> {
    let refusal: Refusal | undefined;
    const rc = listening(
      (met) => (refusal = met),
      () => this.#carryOut(at, transfer),
    );
    if (rc || transfer.moved || transfer.runs) this.#tell(at, transfer, rc && { refusal });
    return rc;
  }
  #start(at: Target, transfer: Transfer): Status<'EFAULT'> {
    if (!this.#fn.present) {
      return refuse(EFAULT, 'the function is not plugged in', { device: this.#fn.name });
    }
    if (this.#fn.powerState !== 0) {
      return refuse(EFAULT, 'the function sleeps: it starts no transfer below D0', {
        device: this.#fn.name,
        power: `D${this.#fn.powerState}`,
      });
    }
    if (!this.#fn.busMaster) {
      return refuse(EFAULT, 'bus mastering is off: the function may not start a transfer', {
        device: this.#fn.name,
      });
    }
    if (this.activity === 'stopped') {
      return refuse(EFAULT, 'the device is stopped for a migration', { device: this.#fn.name });
    }
    if (typeof at !== 'bigint') return this.#pieces(at, transfer);
    return this.#runs(at, { from: 0, length: transfer.bytes.length }, transfer);
  }
  #pieces(list: readonly DmaPiece[], transfer: Transfer): Status<'EFAULT'> {
    const { bytes } = transfer;
    let total = 0;
    for (const { length } of list) total += length;
    if (total !== bytes.length) throw new Bug(`pieces of ${total} bytes for ${bytes.length}`);
    let done = 0;
    for (const { at, length } of list) {
      const rc = this.#runs(at, { from: done, length }, transfer);
      if (rc) return rc;
      done += length;
    }
    return undefined;
  }
  /** `stopped`: by what, where a rule says it. */
  #tell(
    at: Target,
    transfer: Transfer,
    stopped: { refusal: Refusal | undefined } | undefined,
  ): void {
    const { bytes, pasid, write, moved, runs, isCut } = transfer;
    const length = isCut ? this.moved : bytes.length;
    const told = isCut ? part(at, 0, length) : at;
    const seen = (list: readonly MemoryPiece[]): readonly MemoryPiece[] =>
      isCut ? firstBytes(list, length) : list;
    let pieces = moved ? seen(moved) : stopped && [];
    this.#bus.env.trace.emit({
      kind: 'dma',
      device: this.#fn.ref,
      ...(pasid >= 0 && { pasid }),
      write,
      ...(typeof told === 'bigint' ? { iova: told } : { iova: told[0]?.at ?? 0n, list: told }),
      length,
      get pieces() {
        return (pieces ??= seen(runs?.map(pieceOf) ?? []));
      },
      ok: stopped === undefined,
      ...(stopped?.refusal && { refusal: stopped.refusal }),
    });
  }

  #runs(at: bigint, part: Part, transfer: Transfer): Status<'EFAULT'> {
    const { unit } = this;
    const lg2 = unit?.granuleLg2 ?? 12;
    const size = 1 << lg2;
    const exact = Number(at);
    // Nearly all are below 2^53, where numbers are exact: five operations with bigint took as long as the translation.
    const isSmall = exact <= Number.MAX_SAFE_INTEGER;
    const granule = isSmall ? Math.floor(exact / size) : Number(at >> BigInt(lg2));
    const offset = isSmall ? exact % size : Number(at & BigInt(size - 1));
    if (transfer.pasid < 0 && this.#isMessage(granule)) {
      const { from, length } = part;
      const bytes = transfer.bytes.subarray(from, from + length);
      return this.#flush(transfer) ?? this.#ownMessage(at, bytes, transfer.write);
    }
    if (part.length === 0) return undefined;
    if (unit) return this.#translated(unit, granule, offset, part, transfer);
    return this.#addRun({ granule, toGranule: granule, lg2, offset, ...part }, transfer);
  }

  #translated(
    unit: RemappingUnit,
    firstG: number,
    firstOffset: number,
    part: Part,
    transfer: Transfer,
  ): Status<'EFAULT'> {
    const { pasid, write } = transfer;
    const lg2 = unit.granuleLg2;
    const size = 1 << lg2;
    const end = part.from + part.length;
    let granule = firstG;
    let offset = firstOffset;
    let { from } = part;
    while (from < end) {
      const first = unit.translate(this.requesterId, pasid, granule, write);
      if (first < 0) return this.#flush(transfer) ?? this.#blocked(granule, lg2, write);
      let n = Math.min(end - from, size - offset);
      let count = 1;
      let refused = false;
      while (from + n < end) {
        const next = unit.translate(this.requesterId, pasid, granule + count, write);
        refused = next < 0;
        if (next !== first + count) break;
        n = Math.min(end - from, n + size);
        count++;
      }
      const run = { granule, toGranule: first, lg2, offset, from, length: n };
      const rc = this.#addRun(run, transfer);
      if (rc) return rc;
      granule += count;
      if (refused) return this.#flush(transfer) ?? this.#blocked(granule, lg2, write);
      from += n;
      offset = 0;
    }
    return undefined;
  }

  #addRun(run: TranslatedRun, transfer: Transfer): Status<'EFAULT'> {
    transfer.runs?.push(run);
    const { toGranule, lg2, from, length } = run;
    const perFrame = PAGE_SIZE >> lg2;
    const pfn = Math.floor(toGranule / perFrame);
    const offset = (toGranule % perFrame) * (1 << lg2) + run.offset;
    const { bytes, moved, pending, write } = transfer;
    // Only a message that was translated like any write comes so far.
    if (pfn >= FIRST_MESSAGE_PFN && pfn <= LAST_MESSAGE_PFN) {
      const rc = this.#flush(transfer);
      if (rc) return rc;
      const at = BigInt(pfn) * BigInt(PAGE_SIZE) + BigInt(offset);
      const data = messageData(at, bytes.subarray(from, from + length), write);
      if (isErrno(data)) return data;
      this.#bus.controller.message(this.#fn, data);
      this.moved += length;
    } else {
      const refused = this.#touches(run, pfn, transfer);
      if (refused) return refused;
      pending.push({ pfn, offset, from, length });
      if (!moved && pending.length < MOST_PENDING) return undefined;
      return this.#movePending(run, transfer);
    }
    moved?.push(pieceOf(run));
    return undefined;
  }
  /** This run is the last of them. */
  #movePending(run: TranslatedRun, transfer: Transfer): Status<'EFAULT'> {
    const rc = this.#flush(transfer);
    if (!rc || transfer.isCut) transfer.moved?.push(pieceOf(run));
    return rc;
  }

  /** A migration keeps the device from some places, and is told of others. */
  #touches(run: TranslatedRun, pfn: number, transfer: Transfer): Status<'EFAULT'> {
    if (this.activity === 'no-peers' && this.#bus.memory.isRegisters?.(pfn)) {
      return (
        this.#flush(transfer) ??
        refuse(EFAULT, 'a migration keeps the device from the registers of others', {
          device: this.#fn.name,
        })
      );
    }
    if (transfer.write && transfer.pasid < 0) {
      this.heardWrite?.(byteAddress(run.granule, run.lg2, run.offset), run.length);
    }
    return undefined;
  }
  /** Move what is pending, in its order. */
  #flush(transfer: Transfer): Status<'EFAULT'> {
    const { memory } = this.#bus;
    const { pending, bytes, write, moved } = transfer;
    if (pending.length > 0) transfer.pending = [];
    for (let at = 0; at < pending.length;) {
      const many = moved ? 0 : (memory.moveRuns?.(pending, at, bytes, write) ?? 0);
      for (const end = at + many; at < end; at++) this.moved += pending[at]!.length;
      const run = many === 0 ? pending[at++] : undefined;
      const rc = run && this.#moveAlone(run, transfer);
      if (rc) return rc;
    }
    return undefined;
  }
  /** A run that has no neighbours of its kind. One of registers ends where the work of the transfer does. */
  #moveAlone(run: MemoryRun, transfer: Transfer): Status<'EFAULT'> {
    const { memory } = this.#bus;
    const { bytes, write, limit } = transfer;
    const before = this.moved;
    let { length } = run;
    if (memory.isRegisters?.(run.pfn)) {
      const accesses = Math.max(1, Math.floor((limit - this.work - before) / REGISTER_WORK));
      // Whole words, as without an end.
      length = Math.min(length, 8 * (Math.floor(run.offset / 8) + accesses) - run.offset);
      this.work += Math.ceil(length / 8) * REGISTER_WORK;
    }
    const rc = moveRun(memory, { ...run, length }, bytes, write);
    if (rc) return rc;
    this.moved = before + length;
    if (length === run.length) return undefined;
    transfer.isCut = true;
    // eslint-disable-next-line no-restricted-syntax -- nobody is refused: it only ends the walk, and #carryOut() takes it away
    return EFAULT;
  }

  #blocked(granule: number, lg2: number, write: boolean): Status<'EFAULT'> {
    return refuse(EFAULT, 'the IOMMU blocked the access', {
      device: this.#fn.name,
      iova: hex(BigInt(granule) << BigInt(lg2)),
      write,
    });
  }

  /** Does an address without a PASID mean an interrupt before anything is translated? */
  #isMessage(granule: number): boolean {
    if (!this.unit) return granule >= FIRST_MESSAGE_PFN && granule <= LAST_MESSAGE_PFN;
    const { messages } = this.unit;
    return messages !== undefined && granule >= messages.firstG && granule <= messages.lastG;
  }
  /** A message the device made itself instead of asking the port for an interrupt. */
  #ownMessage(at: bigint, bytes: Uint8Array, write: boolean): Status<'EFAULT'> {
    const data = messageData(at, bytes, write);
    if (isErrno(data)) return data;
    this.message({ addressLo: Number(at & 0xffff_ffffn), addressHi: Number(at >> 32n), data });
    this.moved += bytes.length;
    return undefined;
  }
}

function moveRun(
  memory: PhysicalMemory,
  { pfn, offset, from, length }: MemoryRun,
  all: Uint8Array,
  write: boolean,
): Status<'EFAULT'> {
  const bytes = all.subarray(from, from + length);
  return write ? memory.write(pfn, offset, bytes) : memory.read(pfn, offset, bytes);
}
/** So many bytes of them. */
function firstBytes(pieces: readonly MemoryPiece[], length: number): MemoryPiece[] {
  let left = length;
  const taken = pieces.map((piece) => {
    const here = Math.min(left, piece.length);
    left -= here;
    return { ...piece, length: here };
  });
  return taken.filter((piece) => piece.length > 0);
}
function pieceOf({ granule, toGranule, lg2, offset, length }: TranslatedRun): MemoryPiece {
  return {
    iova: byteAddress(granule, lg2, offset),
    pa: byteAddress(toGranule, lg2, offset),
    length,
  };
}
function byteAddress(granule: number, lg2: number, offset: number): bigint {
  return (BigInt(granule) << BigInt(lg2)) + BigInt(offset);
}
function messageData(at: bigint, bytes: Uint8Array, write: boolean): Result<number, 'EFAULT'> {
  if (write && bytes.length === 4 && at % 4n === 0n) {
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  }
  return refuse(EFAULT, 'the interrupt window takes aligned 4-byte writes only', { iova: hex(at) });
}

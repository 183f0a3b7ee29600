/**
 * A VT-d remapping unit: registers, caches, translation (formats.md 7, 11.1, 12; VT-d 3, 6, 7).
 *
 * It shares RAM and its register page with the driver and nothing else. Whatever it cached stays in use until a
 * descriptor of the invalidation queue drops it. A request is answered from the IOTLB, else by lookup and walk.
 *
 * NOT IMPLEMENTED: interrupt remapping, performance monitoring, attributes of translation requests.
 */
import type { PhysicalMemory } from '../../../base/physical-memory.ts';
import {
  unanswered,
  type BusMessage,
  type Explanation,
  type PageRequest,
  type RemappingUnit,
  type UnitAnswer,
  type UnitRequest,
} from '../../../core/contract/remapping-unit.ts';
import { FIRST_MESSAGE_PFN, LAST_MESSAGE_PFN } from '../../../pci/messages.ts';
import { AtsDevices, located, type PageGroupResponse } from '../../unit/ats.ts';
import { Iotlb, TLB_READ, TLB_WRITE } from '../../unit/iotlb.ts';
import { bareRegisters, ringPointers, type RegisterPort } from '../../unit/register-port.ts';
import { plainAnswer, translatedMessage } from '../../unit/requests.ts';
import { Ring } from '../../unit/ring.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../../pt/page-table.ts';
import { FRAME_WORDS, type Ram } from '../../../pt/ram.ts';
import { MemoryReader } from '../../../pt/walk/table-reader.ts';
import { newWalkResult, WALK_DONE } from '../../../pt/walk/walker.ts';
import { EntryCaches, type Resolved } from './entry-caches.ts';
import { explain } from './explain.ts';
import { FAULT_CODES } from '../fault-codes.ts';
import { FaultRecorder } from './faults.ts';
import { writeCap, writeEcap, type IntelHardware } from '../hardware.ts';
import { runDescriptor, type CacheControl, type GranuleRange } from './invalidation.ts';
import { isFault, type LookupFault } from './lookup.ts';
import { PageRequestQueue } from './page-requests.ts';
import {
  FSTS_IQE,
  GCMD_QIE,
  GCMD_SRTP,
  GCMD_TE,
  iqa,
  REG_CAP,
  REG_ECAP,
  REG_FRCD,
  REG_FSTS,
  REG_GCMD,
  REG_GSTS,
  REG_IQA,
  REG_IQH,
  REG_IQT,
  REG_PQA,
  REG_PQH,
  REG_PRS,
  REG_RTADDR,
  REG_VER,
  rtaddr,
  RTADDR_SCALABLE,
} from '../registers.ts';
import { tagKey, type IntelTag } from './tags.ts';
import { faultOf, modeOf, Walkers } from './walk.ts';

// Private copies of IOMMU_READ and IOMMU_WRITE: V8 folds them, while an imported constant is a load each time.
const READ = 1;
const WRITE = 2;
const DONE = WALK_DONE;
const FIRST_MESSAGE = FIRST_MESSAGE_PFN;
const LAST_MESSAGE = LAST_MESSAGE_PFN;

export class IntelUnit implements RemappingUnit, RegisterPort, CacheControl {
  readonly name: string;
  readonly granuleLg2 = 12;
  readonly messages = { firstG: FIRST_MESSAGE_PFN, lastG: LAST_MESSAGE_PFN };
  readonly hw: IntelHardware;
  readonly #ram: Ram;
  readonly #regs = new Int32Array(FRAME_WORDS * 2);
  /** Of the last walk: what it found, or why it failed. */
  readonly #found = newWalkResult();
  #fault = 0;
  readonly #reader: MemoryReader;
  readonly #faults: FaultRecorder;
  /** A plain field, because every request reads it. */
  private readonly tlb = new Iotlb<IntelTag, Resolved>(tagKey);
  readonly #entries: EntryCaches;
  /** What the functions' capabilities say. */
  readonly ats = new AtsDevices((requesterId) => {
    this.tlb.retire((tag) => tag.kind === 'device' && tag.did === requesterId);
    this.tlb.dropFront();
  });
  readonly #pageRequests: PageRequestQueue;
  /** A copy of the register bit the request path needs. */
  #enabled = false;

  /** The interrupts are the wires to the driver's handlers. */
  constructor(
    hw: IntelHardware,
    ram: Ram,
    memory: PhysicalMemory | undefined,
    interrupts: { readonly fault: () => void; readonly pageRequest: () => void },
  ) {
    this.name = hw.name;
    this.hw = hw;
    this.#ram = ram;
    this.#reader = new MemoryReader(ram, memory);
    this.#entries = new EntryCaches(hw, ram, this.tlb, new Walkers(hw, ram, this.#reader));
    this.#faults = new FaultRecorder(this.#regs, hw.faultRecords, interrupts.fault);
    this.#pageRequests = new PageRequestQueue(this.#regs, ram, interrupts.pageRequest);
    this.#regs[REG_VER / 4] = 0x60;
    writeCap(hw, this.#regs, REG_CAP / 4);
    writeEcap(hw, this.#regs, REG_ECAP / 4);
  }

  // --- requests ---

  /** Small, so that callers have it and the hit inlined. */
  translate(requesterId: number, pasid: number, iovaG: number, write: boolean): number {
    const out = this.tlb.hit(requesterId, pasid, iovaG, write);
    return out >= 0 ? out : this.#miss(requesterId, pasid, iovaG, write);
  }

  request(request: UnitRequest): UnitAnswer {
    if (request.access === 'ats') return this.#locate(request);
    const { pasid, privileged = false, execute = false } = request;
    const isPlain = pasid < 0 || !(privileged || execute) || !this.#enabled;
    return isPlain ? plainAnswer(this, request) : this.#asAttributed(request);
  }

  /** Messages of the interrupt range pass; elsewhere a message is a write. */
  message(requesterId: number, message: BusMessage): BusMessage | undefined {
    return translatedMessage(this, requesterId, message);
  }

  explain(requesterId: number, pasid: number, iova: bigint, write: boolean): Explanation {
    if (!this.#enabled) return { tables: [], walk: [], pa: iova };
    return explain(this.#entries.env(), this.#reader, { requesterId, pasid, iova, write });
  }

  requestPage(request: PageRequest, respond: (code: number) => void): boolean {
    const { requesterId, pasid, iovaG, write } = request;
    if (!this.#enabled || !this.ats.mayAskForPages(requesterId)) return false;
    const context = this.#entries.contextOf(requesterId);
    if (isFault(context)) {
      this.#refuse(context, requesterId, pasid, iovaG, write);
      return false;
    }
    if (!context.pre) {
      const code = this.#entries.scalable
        ? FAULT_CODES.PAGE_REQUEST_NOT_ENABLED
        : FAULT_CODES.PAGE_REQUEST_IN_LEGACY_MODE;
      this.#refuse({ fault: code, fpd: context.fpd }, requesterId, pasid, iovaG, write);
      return false;
    }
    return this.#pageRequests.put(request, respond);
  }

  /** A response from the invalidation queue. */
  respond(response: PageGroupResponse): void {
    this.#pageRequests.groups.answer(response);
  }

  /**
   * No hit. One function for all of that on purpose: it is larger than what V8 inlines, and only so is translate() small
   * enough to be inlined itself (docs/performance.md).
   */
  // eslint-disable-next-line complexity -- see above
  #miss(requesterId: number, pasid: number, iovaG: number, write: boolean): number {
    const isMessage = pasid < 0 && iovaG >= FIRST_MESSAGE && iovaG <= LAST_MESSAGE;
    const known = isMessage ? undefined : this.tlb.walkedBy(requesterId, pasid);
    // The requester's translation is known: only the walk is left, unless something is refused.
    const found = this.#found;
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-boolean-literal-compare -- as in Iotlb.hit()
    const access = write === true ? WRITE : READ;
    if (known !== undefined) {
      const { translation, walker, tag } = known;
      if (walker.walk(translation.root, iovaG, access, found) === DONE) {
        this.tlb.fill(tag, iovaG, found.outG, found.prot, found.sizeLg2);
        return found.outG;
      }
    }
    if (!this.#enabled) return iovaG;
    if (isMessage) return this.#interruptRange(requesterId, iovaG, write);
    const ats = this.ats.mayAsk(requesterId);
    const deviceTag = ats ? this.tlb.tag({ kind: 'device', did: requesterId, pasid }) : undefined;
    if (deviceTag !== undefined) {
      this.tlb.setFront(requesterId, pasid, deviceTag, undefined);
      const cached = this.tlb.find(deviceTag, iovaG, write);
      if (cached >= 0) return cached;
    }
    const resolved = this.#entries.resolve(requesterId, pasid, ats);
    if (isFault(resolved)) return this.#refuse(resolved, requesterId, pasid, iovaG, write);
    this.tlb.revive(resolved.tag);
    if (deviceTag === undefined) {
      this.tlb.setFront(requesterId, pasid, resolved.tag, resolved);
    }
    const out = this.#translateBy(resolved, iovaG, write);
    if (out < 0) {
      const code = this.#fault;
      // A device that may ask for the page is told that it is missing; that is no fault yet.
      const recoverable = ats && this.ats.mayAskForPages(requesterId) && RECOVERABLE.has(code);
      const fault = { fault: code, fpd: recoverable || resolved.translation.fpd };
      return this.#refuse(fault, requesterId, pasid, iovaG, write);
    }
    if (deviceTag !== undefined) {
      const entry = this.tlb.peek(resolved.tag, iovaG);
      this.tlb.fill(deviceTag, iovaG, out, entry & (TLB_READ | TLB_WRITE), entry >>> 8);
    }
    return out;
  }

  /**
   * A translation request. What is not mapped or not allowed is told to the device, and is no fault; where writing is
   * asked for and only reading allowed, the answer is for reading.
   */
  #locate({ requesterId, pasid, iovaG, noWrite }: UnitRequest): UnitAnswer {
    const write = noWrite !== true;
    if (!this.#mayLocate(requesterId, pasid, iovaG)) return unanswered('unsupported');
    const resolved = this.#entries.resolve(requesterId, pasid, true);
    if (isFault(resolved)) {
      this.#refuse(resolved, requesterId, pasid, iovaG, write);
      return unanswered('unsupported');
    }
    this.tlb.revive(resolved.tag);
    let outG = this.#translateBy(resolved, iovaG, write);
    if (outG < 0 && write) outG = this.#translateBy(resolved, iovaG, false);
    if (outG >= 0) return located(outG, this.tlb.peek(resolved.tag, iovaG));
    const code = this.#fault;
    if (TOLD.has(code)) return unanswered('empty');
    const why = { fault: code, fpd: resolved.translation.fpd };
    this.#refuse(why, requesterId, pasid, iovaG, write);
    return unanswered('aborted');
  }

  /** In supervisor mode, or for instructions. Nothing is cached: the IOTLB has the rights of everybody else. */
  #asAttributed(request: UnitRequest): UnitAnswer {
    const { requesterId, pasid, access } = request;
    const write = access === 'write';
    const resolved = this.#entries.resolve(requesterId, pasid, this.ats.mayAsk(requesterId));
    const refused = isFault(resolved) ? resolved : this.#walkAttributed(resolved, request, write);
    if (refused) {
      if (!refused.fpd) this.#faults.record({ ...request, write, code: refused.fault });
      return unanswered('aborted');
    }
    const { outG } = this.#found;
    return { outcome: 'translated', outG, prot: write ? IOMMU_WRITE : IOMMU_READ, sizeLg2: 0 };
  }

  #walkAttributed(
    { translation, walker }: Resolved,
    request: UnitRequest,
    write: boolean,
  ): LookupFault | undefined {
    const { fpd, root } = translation;
    const mode = modeOf(translation, request);
    if (typeof mode !== 'number') return mode;
    const access = (write ? WRITE : READ) | mode;
    const code = walker.walk(root, request.iovaG, access, this.#found);
    if (code === WALK_DONE) return undefined;
    return { fault: faultOf(translation, code, write, this.#found.level), fpd };
  }

  #mayLocate(requesterId: number, pasid: number, iovaG: number): boolean {
    const isMessage = pasid < 0 && iovaG >= FIRST_MESSAGE_PFN && iovaG <= LAST_MESSAGE_PFN;
    return this.#enabled && this.ats.mayAsk(requesterId) && !isMessage;
  }

  /** Writes are interrupt messages and are not translated; reads are refused. */
  #interruptRange(requesterId: number, iovaG: number, write: boolean): number {
    if (write) return iovaG;
    const fault = this.#entries.scalable ? FAULT_CODES.INTERRUPT_RANGE : FAULT_CODES.NO_READ;
    return this.#refuse({ fault, fpd: false }, requesterId, -1, iovaG, write);
  }

  #translateBy(resolved: Resolved, iovaG: number, write: boolean): number {
    const { tag, translation, walker } = resolved;
    const cached = this.tlb.find(tag, iovaG, write);
    if (cached >= 0) return cached;
    const found = this.#found;
    const code = walker.walk(translation.root, iovaG, write ? WRITE : READ, found);
    if (code !== WALK_DONE) {
      this.#fault = faultOf(translation, code, write, found.level);
      return -1;
    }
    this.tlb.fill(tag, iovaG, found.outG, found.prot, found.sizeLg2);
    return found.outG;
  }

  #refuse(
    why: LookupFault,
    requesterId: number,
    pasid: number,
    iovaG: number,
    write: boolean,
  ): number {
    if (!why.fpd) this.#faults.record({ requesterId, pasid, iovaG, write, code: why.fault });
    return -1;
  }

  // --- registers ---

  read32(offset: number): number {
    return this.#regs[offset >> 2] ?? -1;
  }

  write32(offset: number, value: number): void {
    const records = REG_FRCD + this.hw.faultRecords * 16;
    if (offset >= REG_FRCD && offset < records) this.#faults.writeRecord(offset >> 2, value);
    else if (offset === REG_FSTS) this.#faults.writeStatus(value);
    else if (offset === REG_PRS) this.#pageRequests.writeStatus(value);
    else if (offset === REG_GCMD) this.#command(value);
    else if (WRITABLE.has(offset)) {
      this.#regs[offset >> 2] = value;
      if (offset === REG_IQT) this.#runQueue();
    }
  }

  #command(value: number): void {
    if ((value & GCMD_SRTP) !== 0) {
      this.#entries.rootPfn = rtaddr.address.get(this.#regs, REG_RTADDR / 4);
      this.#entries.scalable = rtaddr.mode.get(this.#regs, REG_RTADDR / 4) === RTADDR_SCALABLE;
    }
    this.#enabled = (value & GCMD_TE) !== 0;
    // Requests that passed while translation was off left nothing behind, but be sure.
    this.tlb.dropFront();
    this.#regs[REG_GSTS / 4] = value;
    if ((value & GCMD_QIE) !== 0) this.#runQueue();
  }

  #runQueue(): void {
    const regs = this.#regs;
    if ((regs[REG_GSTS / 4]! & GCMD_QIE) === 0 || (regs[REG_FSTS / 4]! & FSTS_IQE) !== 0) return;
    const place = {
      pfn: iqa.address.get(regs, REG_IQA / 4),
      bytes: 4096 << iqa.size.get(regs, REG_IQA / 4),
      entryBytes: iqa.wide.get(regs, REG_IQA / 4) === 1 ? 32 : 16,
    };
    const pointers = ringPointers(bareRegisters(regs), REG_IQH, REG_IQT);
    const ring = new Ring(this.#ram, place, pointers);
    while (!ring.isEmpty) {
      const { head } = pointers;
      // Taken before it runs: what it sets going may put more into the queue.
      if (ring.isSound && runDescriptor(this.#ram, ring.take(), this)) continue;
      pointers.head = head;
      regs[REG_FSTS / 4]! |= FSTS_IQE;
      return;
    }
  }

  // --- invalidation ---

  invalidateContexts(matches: (did: number, requesterId: number) => boolean): void {
    this.#entries.invalidateContexts(matches);
  }

  invalidatePasids(matches: (did: number, pasid: number) => boolean): void {
    this.#entries.invalidatePasids(matches);
  }

  invalidateIotlb(did: number | undefined, range: GranuleRange | undefined): void {
    if (range === undefined || did === undefined) {
      this.tlb.retire((tag) => tag.kind !== 'device' && (did === undefined || tag.did === did));
      return;
    }
    const isFlat = (tag: IntelTag): boolean => tag.kind === 'second' || tag.kind === 'pass';
    this.tlb.invalidate((tag) => isFlat(tag) && tag.did === did, range.startG, range.countG);
    // A nested entry is keyed by the first stage's address: the range says nothing about it.
    this.tlb.retire((tag) => tag.kind === 'nested' && tag.did === did);
  }

  invalidatePasidIotlb(did: number, pasid: number, range: GranuleRange | undefined): void {
    const matches = (tag: IntelTag): boolean =>
      (tag.kind === 'first' || tag.kind === 'nested') && tag.did === did && tag.pasid === pasid;
    if (range === undefined) this.tlb.retire(matches);
    else this.tlb.invalidate(matches, range.startG, range.countG);
  }

  invalidateDevTlb(requesterId: number, pasid: number | undefined, range: GranuleRange): void {
    const matches = (tag: IntelTag): boolean =>
      tag.kind === 'device' &&
      tag.did === requesterId &&
      (pasid === undefined || tag.pasid === pasid);
    this.tlb.invalidate(matches, range.startG, range.countG);
  }
}

/** Plain registers software may write. */
const WRITABLE = new Set(
  [REG_RTADDR, REG_IQT, REG_IQA, REG_PQA, REG_PQH].flatMap((offset) => [offset, offset + 4]),
);
/** What a page request may mend: nothing mapped, or not for writing. */
const RECOVERABLE = new Set<number>([FAULT_CODES.FS_NOT_PRESENT, FAULT_CODES.SM_NO_WRITE]);
/** What a device that asks for a translation is told by an answer without rights. */
const TOLD = new Set<number>([
  FAULT_CODES.FS_NOT_PRESENT,
  FAULT_CODES.SM_NO_WRITE,
  FAULT_CODES.USER_BIT,
  FAULT_CODES.SS_PERMISSION,
  FAULT_CODES.NO_READ,
  FAULT_CODES.NO_WRITE,
]);

/**
 * The page request queue of a VT-d unit, as the unit fills it (formats.md 11.1; VT-d 7.4.1).
 *
 * A device with ATS that misses a page asks for it: the unit writes a record of 32 bytes into the queue and raises the
 * page-request interrupt. With the queue full, requests are dropped and the overflow is noted until the driver clears
 * it.
 */
import type { PageRequest } from '../../../core/contract/remapping-unit.ts';
import type { Ram } from '../../../pt/ram.ts';
import { PageGroups } from '../../unit/ats.ts';
import { bareRegisters, ringPointers } from '../../unit/register-port.ts';
import { Ring } from '../../unit/ring.ts';
import { pqa, PRS_PPR, PRS_PRO, REG_PQA, REG_PQH, REG_PQT, REG_PRS } from '../registers.ts';
import { PAGE_REQUEST, PAGE_REQUEST_BYTES, pageRequest } from '../words.ts';

const STATUS = REG_PRS / 4;

export class PageRequestQueue {
  readonly #regs: Int32Array;
  readonly #ram: Ram;
  readonly #interrupt: () => void;
  readonly groups = new PageGroups();

  constructor(regs: Int32Array, ram: Ram, interrupt: () => void) {
    this.#regs = regs;
    this.#ram = ram;
    this.#interrupt = interrupt;
  }

  /** False: the queue is full or was never set up, and the request is lost. The handler may answer before this returns. */
  put(request: PageRequest, respond: (code: number) => void): boolean {
    const regs = this.#regs;
    const pfn = pqa.address.get(regs, REG_PQA / 4);
    const bytes = 4096 << pqa.size.get(regs, REG_PQA / 4);
    const pointers = ringPointers(bareRegisters(regs), REG_PQH, REG_PQT);
    const ring = new Ring(this.#ram, { pfn, bytes, entryBytes: PAGE_REQUEST_BYTES }, pointers);
    if (pfn === 0 || !ring.isSound) return false;
    if (ring.isFull || (regs[STATUS]! & PRS_PRO) !== 0) {
      regs[STATUS]! |= PRS_PRO;
      this.#raise();
      return false;
    }
    ring.put((words, at) => {
      writeRecord(words, at, request);
    });
    this.groups.wait(request, respond);
    this.#raise();
    return true;
  }

  /** A write to the status register: both bits are write-1-to-clear. */
  writeStatus(value: number): void {
    this.#regs[STATUS]! &= ~(value & (PRS_PPR | PRS_PRO));
  }

  #raise(): void {
    const pending = (this.#regs[STATUS]! & PRS_PPR) !== 0;
    this.#regs[STATUS]! |= PRS_PPR;
    if (!pending) this.#interrupt();
  }
}

function writeRecord(words: Int32Array, at: number, request: PageRequest): void {
  pageRequest.type.set(words, at, PAGE_REQUEST);
  pageRequest.rid.set(words, at, request.requesterId);
  if (request.pasid >= 0) {
    pageRequest.pasidPresent.set(words, at, 1);
    pageRequest.pasid.set(words, at, request.pasid);
  }
  pageRequest.execute.set(words, at, Number(request.execute ?? false));
  pageRequest.privileged.set(words, at, Number(request.privileged ?? false));
  pageRequest.read.set(words, at, Number(request.read));
  pageRequest.write.set(words, at, Number(request.write));
  pageRequest.last.set(words, at, Number(request.last));
  pageRequest.group.set(words, at, request.group);
  pageRequest.page.set(words, at, request.iovaG);
}

/**
 * The driver's side of queued invalidation (formats.md 7; VT-d 6.5.2): descriptors are written into RAM, the tail
 * register starts the unit, and a wait descriptor's status word says that all before it is done.
 */
import { bugOn } from '../../../base/bug.ts';
import { isErrno, type Result } from '../../../base/errno.ts';
import type { KernelEnv } from '../../../base/kernel-env.ts';
import type { Facts } from '../../../base/refuse.ts';
import { pow2 } from '../../../base/u64.ts';
import { FRAME_WORDS, type Ram } from '../../../pt/ram.ts';
import { MAMV, type IntelHardware } from '../hardware.ts';
import type { PageGroupResponse } from '../../unit/ats.ts';
import { write64, type RegisterPort } from '../../unit/register-port.ts';
import { Ring, type RingPointers } from '../../unit/ring.ts';
import { iqa, REG_IQA, REG_IQH, REG_IQT } from '../registers.ts';
import { DESC, desc, GRAN } from '../descriptors.ts';

/** A range to invalidate: 2^order granules from `startG`, aligned to its size. */
export interface AlignedRange {
  readonly startG: number;
  readonly order: number;
}

/** The smallest aligned block around a range; undefined when it is larger than the unit takes. */
export function alignedRange(startG: number, lastG: number): AlignedRange | undefined {
  for (let order = 0; order <= MAMV; order++) {
    const size = pow2(order);
    if (Math.floor(startG / size) === Math.floor(lastG / size)) {
      return { startG: Math.floor(startG / size) * size, order };
    }
  }
  return undefined;
}

export class QueuedInvalidation {
  readonly #env: KernelEnv;
  readonly #ram: Ram;
  readonly #port: RegisterPort;
  readonly #unit: string;
  readonly #queuePfn: number;
  readonly #statusPfn: number;
  readonly #ring: Ring;
  /** The unit says how far it is; where the tail will be is ours until everything is written. */
  readonly #pointers: RingPointers;
  #sequence = 0;

  private constructor(
    env: KernelEnv,
    ram: Ram,
    port: RegisterPort,
    at: { unit: string; queue: number; status: number; entryBytes: number },
  ) {
    this.#env = env;
    this.#ram = ram;
    this.#port = port;
    this.#unit = at.unit;
    this.#queuePfn = at.queue;
    this.#statusPfn = at.status;
    this.#pointers = {
      get head() {
        return port.read32(REG_IQH);
      },
      tail: 0,
    };
    const place = { pfn: at.queue, bytes: 4096, entryBytes: at.entryBytes };
    this.#ring = new Ring(ram, place, this.#pointers);
  }

  /** One frame of descriptors, of 256 bits in scalable mode, and one for the status. */
  static create(
    env: KernelEnv,
    ram: Ram,
    port: RegisterPort,
    hw: IntelHardware,
  ): Result<QueuedInvalidation, 'ENOMEM'> {
    const queue = ram.alloc();
    if (isErrno(queue)) return queue;
    const status = ram.alloc();
    if (isErrno(status)) {
      ram.free(queue);
      return status;
    }
    write64(port, REG_IQA, (words, at) => {
      iqa.wide.set(words, at, Number(hw.scalable));
      iqa.address.set(words, at, queue);
    });
    port.write32(REG_IQT, 0);
    const entryBytes = hw.scalable ? 32 : 16;
    return new QueuedInvalidation(env, ram, port, { unit: hw.name, queue, status, entryBytes });
  }

  /** Give the frames back; the unit must not be told anything any more. */
  destroy(): void {
    this.#ram.free(this.#queuePfn);
    this.#ram.free(this.#statusPfn);
  }

  contextGlobal(): void {
    this.#submit('context', { granularity: 'global' }, (words, at) => {
      desc.context.type.set(words, at, DESC.CONTEXT);
      desc.context.granularity.set(words, at, GRAN.GLOBAL);
    });
  }
  contextDevice(did: number, requesterId: number): void {
    this.#submit('context', { granularity: 'device', did, requesterId }, (words, at) => {
      desc.context.type.set(words, at, DESC.CONTEXT);
      desc.context.granularity.set(words, at, GRAN.DEVICE);
      desc.context.did.set(words, at, did);
      desc.context.sid.set(words, at, requesterId);
    });
  }
  iotlbGlobal(): void {
    this.#submit('iotlb', { granularity: 'global' }, (words, at) => {
      desc.iotlb.type.set(words, at, DESC.IOTLB);
      desc.iotlb.granularity.set(words, at, GRAN.GLOBAL);
    });
  }
  iotlbDomain(did: number): void {
    this.#submit('iotlb', { granularity: 'domain', did }, (words, at) => {
      desc.iotlb.type.set(words, at, DESC.IOTLB);
      desc.iotlb.granularity.set(words, at, GRAN.DOMAIN);
      desc.iotlb.did.set(words, at, did);
    });
  }
  /** A range of the second stage; undefined: the whole domain. */
  iotlbPages(did: number, range: AlignedRange | undefined): void {
    if (range === undefined) {
      this.iotlbDomain(did);
      return;
    }
    this.#submit('iotlb', { granularity: 'page', did, ...range }, (words, at) => {
      desc.iotlb.type.set(words, at, DESC.IOTLB);
      desc.iotlb.granularity.set(words, at, GRAN.PAGE);
      desc.iotlb.did.set(words, at, did);
      desc.iotlb.addressMask.set(words, at, range.order);
      desc.iotlb.address.set(words, at, range.startG);
    });
  }
  /** A range of the first stage of one PASID; undefined: all of it. */
  pasidIotlb(did: number, pasid: number, range: AlignedRange | undefined): void {
    this.#submit('iotlb', { granularity: 'pasid', did, pasid, ...range }, (words, at) => {
      desc.pasidIotlb.type.set(words, at, DESC.PASID_IOTLB);
      desc.pasidIotlb.granularity.set(words, at, range === undefined ? GRAN.PASID : GRAN.PAGE);
      desc.pasidIotlb.did.set(words, at, did);
      desc.pasidIotlb.pasid.set(words, at, pasid);
      if (range === undefined) return;
      desc.pasidIotlb.addressMask.set(words, at, range.order);
      desc.pasidIotlb.address.set(words, at, range.startG);
    });
  }
  pasidCacheGlobal(): void {
    this.#submit('pasid', { granularity: 'global' }, (words, at) => {
      desc.pasidCache.type.set(words, at, DESC.PASID_CACHE);
      desc.pasidCache.granularity.set(words, at, GRAN.PC_GLOBAL);
    });
  }
  pasidCache(did: number, pasid: number): void {
    this.#submit('pasid', { granularity: 'pasid', did, pasid }, (words, at) => {
      desc.pasidCache.type.set(words, at, DESC.PASID_CACHE);
      desc.pasidCache.granularity.set(words, at, GRAN.PC_PASID);
      desc.pasidCache.did.set(words, at, did);
      desc.pasidCache.pasid.set(words, at, pasid);
    });
  }
  /** PASID -1: requests without one. A range of undefined is everything. */
  devTlb(requesterId: number, pasid: number, range: AlignedRange | undefined): void {
    const { startG, order } = range ?? { startG: 0, order: 52 };
    const address = encodeSized(startG, order);
    this.#submit('dev-tlb', { requesterId, pasid, startG, order }, (words, at) => {
      if (pasid < 0) {
        desc.devTlb.type.set(words, at, DESC.DEV_TLB);
        desc.devTlb.sid.set(words, at, requesterId);
        desc.devTlb.size.set(words, at, Number(order > 0));
        desc.devTlb.address.set(words, at, address);
        return;
      }
      desc.pasidDevTlb.type.set(words, at, DESC.PASID_DEV_TLB);
      desc.pasidDevTlb.sid.set(words, at, requesterId);
      desc.pasidDevTlb.pasid.set(words, at, pasid);
      desc.pasidDevTlb.size.set(words, at, Number(order > 0));
      desc.pasidDevTlb.address.set(words, at, address);
    });
  }

  pageResponse(response: PageGroupResponse): void {
    const { requesterId, pasid, group, code } = response;
    this.#submit('page-response', { requesterId, pasid, group, code }, (words, at) => {
      desc.pageResponse.type.set(words, at, DESC.PAGE_RESPONSE);
      desc.pageResponse.code.set(words, at, code);
      desc.pageResponse.rid.set(words, at, requesterId);
      desc.pageResponse.group.set(words, at, group);
      if (pasid < 0) return;
      desc.pageResponse.pasidPresent.set(words, at, 1);
      desc.pageResponse.pasid.set(words, at, pasid);
    });
  }

  /** Put a descriptor and a wait descriptor into the queue, and wait. @kernel qi_submit_sync */
  #submit(cache: string, facts: Facts, write: (words: Int32Array, at: number) => void): void {
    const trace = this.#env.trace;
    if (trace.on) trace.emit({ kind: 'invalidate', unit: this.#unit, cache, facts });
    this.#ring.put(write);
    const status = this.#statusPfn * FRAME_WORDS;
    this.#sequence = (this.#sequence + 1) % 0x8000_0000;
    this.#ring.put((words, at) => {
      desc.wait.type.set(words, at, DESC.WAIT);
      desc.wait.statusWrite.set(words, at, 1);
      desc.wait.fence.set(words, at, 1);
      desc.wait.statusData.set(words, at, this.#sequence);
      desc.wait.statusAddress.set(words, at, status);
    });
    this.#port.write32(REG_IQT, this.#pointers.tail);
    bugOn(
      this.#ram.words[status] !== this.#sequence,
      `${this.#unit}: the invalidation queue stopped at a ${cache} descriptor`,
    );
  }
}

/** The address field of a device-TLB invalidation of 2^order granules around `startG`. */
function encodeSized(startG: number, order: number): number {
  if (order === 0) return startG;
  const countG = pow2(order);
  return Math.floor(startG / countG) * countG + (countG / 2 - 1);
}

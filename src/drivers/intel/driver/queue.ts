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
import {
  DESC_CONTEXT,
  DESC_DEV_TLB,
  DESC_PAGE_RESPONSE,
  DESC_IOTLB,
  DESC_PASID_CACHE,
  DESC_PASID_DEV_TLB,
  DESC_PASID_IOTLB,
  DESC_WAIT,
  descContext,
  descDevTlb,
  descPageResponse,
  descIotlb,
  descPasidCache,
  descPasidDevTlb,
  descPasidIotlb,
  descWait,
  GRAN_DEVICE,
  GRAN_DOMAIN,
  GRAN_GLOBAL,
  GRAN_PAGE,
  GRAN_PASID,
  GRAN_PC_GLOBAL,
  GRAN_PC_PASID,
} from '../words.ts';

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
      descContext.type.set(words, at, DESC_CONTEXT);
      descContext.granularity.set(words, at, GRAN_GLOBAL);
    });
  }
  contextDevice(did: number, requesterId: number): void {
    this.#submit('context', { granularity: 'device', did, requesterId }, (words, at) => {
      descContext.type.set(words, at, DESC_CONTEXT);
      descContext.granularity.set(words, at, GRAN_DEVICE);
      descContext.did.set(words, at, did);
      descContext.sid.set(words, at, requesterId);
    });
  }
  iotlbGlobal(): void {
    this.#submit('iotlb', { granularity: 'global' }, (words, at) => {
      descIotlb.type.set(words, at, DESC_IOTLB);
      descIotlb.granularity.set(words, at, GRAN_GLOBAL);
    });
  }
  iotlbDomain(did: number): void {
    this.#submit('iotlb', { granularity: 'domain', did }, (words, at) => {
      descIotlb.type.set(words, at, DESC_IOTLB);
      descIotlb.granularity.set(words, at, GRAN_DOMAIN);
      descIotlb.did.set(words, at, did);
    });
  }
  /** A range of the second stage; undefined: the whole domain. */
  iotlbPages(did: number, range: AlignedRange | undefined): void {
    if (range === undefined) {
      this.iotlbDomain(did);
      return;
    }
    this.#submit('iotlb', { granularity: 'page', did, ...range }, (words, at) => {
      descIotlb.type.set(words, at, DESC_IOTLB);
      descIotlb.granularity.set(words, at, GRAN_PAGE);
      descIotlb.did.set(words, at, did);
      descIotlb.addressMask.set(words, at, range.order);
      descIotlb.address.set(words, at, range.startG);
    });
  }
  /** A range of the first stage of one PASID; undefined: all of it. */
  pasidIotlb(did: number, pasid: number, range: AlignedRange | undefined): void {
    this.#submit('iotlb', { granularity: 'pasid', did, pasid, ...range }, (words, at) => {
      descPasidIotlb.type.set(words, at, DESC_PASID_IOTLB);
      descPasidIotlb.granularity.set(words, at, range === undefined ? GRAN_PASID : GRAN_PAGE);
      descPasidIotlb.did.set(words, at, did);
      descPasidIotlb.pasid.set(words, at, pasid);
      if (range === undefined) return;
      descPasidIotlb.addressMask.set(words, at, range.order);
      descPasidIotlb.address.set(words, at, range.startG);
    });
  }
  pasidCacheGlobal(): void {
    this.#submit('pasid', { granularity: 'global' }, (words, at) => {
      descPasidCache.type.set(words, at, DESC_PASID_CACHE);
      descPasidCache.granularity.set(words, at, GRAN_PC_GLOBAL);
    });
  }
  pasidCache(did: number, pasid: number): void {
    this.#submit('pasid', { granularity: 'pasid', did, pasid }, (words, at) => {
      descPasidCache.type.set(words, at, DESC_PASID_CACHE);
      descPasidCache.granularity.set(words, at, GRAN_PC_PASID);
      descPasidCache.did.set(words, at, did);
      descPasidCache.pasid.set(words, at, pasid);
    });
  }
  /** PASID -1: requests without one. A range of undefined is everything. */
  devTlb(requesterId: number, pasid: number, range: AlignedRange | undefined): void {
    const { startG, order } = range ?? { startG: 0, order: 52 };
    const address = encodeSized(startG, order);
    this.#submit('dev-tlb', { requesterId, pasid, startG, order }, (words, at) => {
      if (pasid < 0) {
        descDevTlb.type.set(words, at, DESC_DEV_TLB);
        descDevTlb.sid.set(words, at, requesterId);
        descDevTlb.size.set(words, at, Number(order > 0));
        descDevTlb.address.set(words, at, address);
        return;
      }
      descPasidDevTlb.type.set(words, at, DESC_PASID_DEV_TLB);
      descPasidDevTlb.sid.set(words, at, requesterId);
      descPasidDevTlb.pasid.set(words, at, pasid);
      descPasidDevTlb.size.set(words, at, Number(order > 0));
      descPasidDevTlb.address.set(words, at, address);
    });
  }

  pageResponse(response: PageGroupResponse): void {
    const { requesterId, pasid, group, code } = response;
    this.#submit('page-response', { requesterId, pasid, group, code }, (words, at) => {
      descPageResponse.type.set(words, at, DESC_PAGE_RESPONSE);
      descPageResponse.code.set(words, at, code);
      descPageResponse.rid.set(words, at, requesterId);
      descPageResponse.group.set(words, at, group);
      if (pasid < 0) return;
      descPageResponse.pasidPresent.set(words, at, 1);
      descPageResponse.pasid.set(words, at, pasid);
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
      descWait.type.set(words, at, DESC_WAIT);
      descWait.statusWrite.set(words, at, 1);
      descWait.fence.set(words, at, 1);
      descWait.statusData.set(words, at, this.#sequence);
      descWait.statusAddress.set(words, at, status);
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

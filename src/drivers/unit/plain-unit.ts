/**
 * A unit without tables, caches and queues of its own: it asks where an address is, at every request.
 *
 * For IOMMUs that share objects with their driver, other than real ones. They need no invalidation, and have no page
 * requests.
 */
import type { KernelEnv } from '../../base/kernel-env.ts';
import { fromGranules, toGranules } from '../../base/u64.ts';
import type { Device } from '../../core/contract/device.ts';
import {
  unanswered,
  type BusMessage,
  type Explanation,
  type GranuleSpan,
  type RemappingUnit,
  type UnitAnswer,
  type UnitRequest,
} from '../../core/contract/remapping-unit.ts';
import { IOMMU_READ, IOMMU_WRITE, type WalkStep } from '../../pt/page-table.ts';
import { reportFault } from './report-fault.ts';
import { Requesters } from './requesters.ts';
import { plainAnswer, translatedMessage } from './requests.ts';

/** What a device asks for. */
export interface PlainAccess {
  /** -1 without PASID. */
  readonly pasid: number;
  readonly iovaG: number;
  readonly write: boolean;
}
/** Why an access is blocked, for the record of the fault. */
export interface Blocked {
  readonly code: number;
  readonly reason: string;
}

/** What makes one such unit different from another. */
export interface PlainUnitParts {
  readonly env: KernelEnv;
  readonly name: string;
  readonly granuleLg2: number;
  /** Where messages pass; undefined: they are writes like any other. */
  readonly messages: GranuleSpan | undefined;
  /** The output granule for an access of a device, known or not, or why there is none. It changes nothing. */
  readonly lookup: (dev: Device | undefined, access: PlainAccess) => number | Blocked;
  /** The table that translates an address, level by level, where there is one. */
  readonly walk?: (dev: Device, pasid: number, iova: bigint) => readonly WalkStep[];
}

/** A unit of such parts. */
export class PlainUnit implements RemappingUnit {
  readonly env: KernelEnv;
  readonly name: string;
  readonly granuleLg2: number;
  readonly messages: GranuleSpan | undefined;
  /** Who is below it: told by whoever plugs devices in. */
  readonly requesters = new Requesters();
  readonly #parts: PlainUnitParts;

  constructor(parts: PlainUnitParts) {
    this.env = parts.env;
    this.name = parts.name;
    this.granuleLg2 = parts.granuleLg2;
    this.messages = parts.messages;
    this.#parts = parts;
  }

  translate(requesterId: number, pasid: number, iovaG: number, write: boolean): number {
    const found = this.#lookup(requesterId, { pasid, iovaG, write });
    if (typeof found === 'number') return found;
    const iova = fromGranules(iovaG, this.granuleLg2);
    reportFault(this, { requesterId, pasid, write, iova, ...found });
    return -1;
  }
  request(request: UnitRequest): UnitAnswer {
    return request.access === 'ats' ? this.#locate(request) : plainAnswer(this, request);
  }
  message(requesterId: number, message: BusMessage): BusMessage | undefined {
    return this.#passes(message) ? message : translatedMessage(this, requesterId, message);
  }
  requestPage(): boolean {
    return false;
  }
  explain(requesterId: number, pasid: number, iova: bigint, write: boolean): Explanation {
    const lg2 = this.granuleLg2;
    const found = this.#lookup(requesterId, { pasid, iovaG: toGranules(iova, lg2), write });
    const dev = this.requesters.deviceOf(requesterId);
    const walk = (dev && this.#parts.walk?.(dev, pasid, iova)) ?? [];
    if (typeof found !== 'number') return { tables: [], walk, refused: found.reason };
    return { tables: [], walk, pa: fromGranules(found, lg2) | BigInt.asUintN(lg2, iova) };
  }

  #lookup(requesterId: number, access: PlainAccess): number | Blocked {
    return this.#parts.lookup(this.requesters.deviceOf(requesterId), access);
  }
  /** One granule at a time; a refusal is the device's own matter. */
  #locate({ requesterId, pasid, iovaG, noWrite }: UnitRequest): UnitAnswer {
    const granule = (write: boolean): number => {
      const found = this.#lookup(requesterId, { pasid, iovaG, write });
      return typeof found === 'number' ? found : -1;
    };
    const readable = granule(false);
    const writable = noWrite !== true ? granule(true) : -1;
    const outG = Math.max(readable, writable);
    if (outG < 0) return unanswered('empty');
    const prot = (readable >= 0 ? IOMMU_READ : 0) | (writable >= 0 ? IOMMU_WRITE : 0);
    return { outcome: 'translated', outG, prot, sizeLg2: 0 };
  }
  #passes({ addressHi, addressLo }: BusMessage): boolean {
    if (!this.messages || addressHi !== 0) return false;
    const iovaG = addressLo >>> this.granuleLg2;
    return iovaG >= this.messages.firstG && iovaG <= this.messages.lastG;
  }
}

/**
 * What a unit knows of devices with address translation services (PCIe 10): who may ask for translations and pages, and
 * who waits for an answer.
 */
import type { UnitAnswer } from '../../core/contract/remapping-unit.ts';
import type { EnableBits } from '../iommu-type.ts';
import { TLB_READ, TLB_WRITE } from './iotlb.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';

/** The enable bits of the devices below a unit, by requester id, as the functions have them. */
export class AtsDevices implements EnableBits {
  readonly #ats = new Set<number>();
  readonly #pages = new Set<number>();
  readonly #switched: (requesterId: number) => void;

  /** `switched` hears of every change of an ATS bit: what the device kept in its TLB is gone. */
  constructor(switched: (requesterId: number) => void) {
    this.#switched = switched;
  }

  setAts(requesterId: number, enabled: boolean): void {
    if (put(this.#ats, requesterId, enabled)) this.#switched(requesterId);
  }
  setPri(requesterId: number, enabled: boolean): void {
    put(this.#pages, requesterId, enabled);
  }
  /** May the device ask for translations? It then keeps them itself. */
  mayAsk(requesterId: number): boolean {
    return this.#ats.has(requesterId);
  }
  /** May it ask for pages? */
  mayAskForPages(requesterId: number): boolean {
    return this.#pages.has(requesterId);
  }
}

/** False: it was so before. */
function put(set: Set<number>, requesterId: number, enabled: boolean): boolean {
  if (set.has(requesterId) === enabled) return false;
  if (enabled) set.add(requesterId);
  else set.delete(requesterId);
  return true;
}

/** The answer to a translation request from what the IOTLB has of it: its frame, and what Iotlb.peek() tells. */
export function located(outG: number, peeked: number): UnitAnswer {
  const prot = (peeked & TLB_READ ? IOMMU_READ : 0) | (peeked & TLB_WRITE ? IOMMU_WRITE : 0);
  return { outcome: 'translated', outG, prot, sizeLg2: peeked >>> 8 };
}

/** What goes back to a device for a group of page requests. */
export interface PageGroupResponse {
  readonly requesterId: number;
  /** -1: its requests carried none. */
  readonly pasid: number;
  readonly group: number;
  /** 0 success, 1 invalid, 15 failure. */
  readonly code: number;
}

/** A device numbers its groups from 0 to this. */
const LAST_GROUP = 511;

/** Devices that wait for the response to a group of page requests. */
export class PageGroups {
  readonly #waiting = new Map<number, (code: number) => void>();

  /** A device has asked for a page of a group; it is told of the group as a whole, once. */
  wait(group: Pick<PageGroupResponse, 'requesterId' | 'group'>, respond: (code: number) => void) {
    this.#waiting.set(keyOf(group), respond);
  }
  /** Software answered; an answer nobody waits for goes nowhere. */
  answer(response: PageGroupResponse): void {
    const key = keyOf(response);
    const respond = this.#waiting.get(key);
    this.#waiting.delete(key);
    respond?.(response.code);
  }
}

function keyOf({ requesterId, group }: { requesterId: number; group: number }): number {
  return requesterId * (LAST_GROUP + 1) + group;
}

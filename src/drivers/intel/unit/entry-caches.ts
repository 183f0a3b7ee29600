/**
 * What a VT-d unit remembers of the entries it read: the context cache and the PASID cache (formats.md 7, 12).
 *
 * What is found stays in use until a descriptor of the invalidation queue drops it, whatever RAM says meanwhile.
 */
import type { Ram } from '../../../pt/ram.ts';
import type { PageWalker } from '../../../pt/walk/walker.ts';
import type { Iotlb, TlbTag } from '../../unit/iotlb.ts';
import { FAULT_CODES } from '../fault-codes.ts';
import type { IntelHardware } from '../hardware.ts';
import {
  isFault,
  lookupContext,
  lookupPasid,
  type CachedContext,
  type LookupEnv,
  type LookupFault,
  type Translation,
} from './lookup.ts';
import type { IntelTag } from './tags.ts';
import type { Walkers } from './walk.ts';

/** What the requests of one requester and PASID are translated by, and under which tag that is cached. */
export interface Resolved {
  readonly translation: Translation;
  readonly walker: PageWalker;
  readonly tag: TlbTag<IntelTag>;
}

const PASID_SPAN = 2 ** 21;

function resolvedKey(requesterId: number, pasid: number): number {
  return requesterId * PASID_SPAN + pasid + 1;
}

export class EntryCaches {
  readonly #hw: IntelHardware;
  readonly #ram: Ram;
  readonly #tlb: Iotlb<IntelTag, Resolved>;
  readonly #walkers: Walkers;
  readonly #contexts = new Map<number, CachedContext>();
  /** By requester and PASID: what a PASID cache holds; in legacy mode what the context holds. */
  readonly #resolved = new Map<number, Resolved>();
  /** The root table in use, and its mode. */
  rootPfn = 0;
  scalable = false;

  constructor(hw: IntelHardware, ram: Ram, tlb: Iotlb<IntelTag, Resolved>, walkers: Walkers) {
    this.#hw = hw;
    this.#ram = ram;
    this.#tlb = tlb;
    this.#walkers = walkers;
  }

  /** Where entries are read from now. */
  env(): LookupEnv {
    return { hw: this.#hw, ram: this.#ram, rootPfn: this.rootPfn, scalable: this.scalable };
  }

  contextOf(requesterId: number): CachedContext | LookupFault {
    const known = this.#contexts.get(requesterId);
    if (known !== undefined) return known;
    const found = lookupContext(this.env(), requesterId);
    if (!isFault(found)) this.#contexts.set(requesterId, found);
    return found;
  }

  /** `ats`: the request comes from a device that asks for translations, which its context must allow. */
  resolve(requesterId: number, pasid: number, ats: boolean): Resolved | LookupFault {
    const context = this.contextOf(requesterId);
    if (isFault(context)) return context;
    if (ats && !context.ats) {
      const code = this.scalable ? FAULT_CODES.DTE_CLEAR : FAULT_CODES.TRANSLATION_REQUEST_BLOCKED;
      return { fault: code, fpd: context.fpd };
    }
    const key = resolvedKey(requesterId, pasid);
    const known = this.#resolved.get(key);
    if (known !== undefined) return known;
    const translation = lookupPasid(this.env(), context, pasid);
    if (isFault(translation)) return translation;
    const staged = translation.kind === 'first' || translation.kind === 'nested';
    const effective = pasid >= 0 ? pasid : context.ridPasid;
    const { kind, did } = translation;
    const tag = this.#tlb.tag({ kind, did, pasid: staged ? effective : -1 });
    const resolved = { translation, walker: this.#walkers.of(translation), tag };
    this.#resolved.set(key, resolved);
    return resolved;
  }

  invalidateContexts(matches: (did: number, requesterId: number) => boolean): void {
    for (const [requesterId, context] of this.#contexts) {
      if (!matches(context.did, requesterId)) continue;
      this.#contexts.delete(requesterId);
      if (context.translation !== undefined) this.#resolved.delete(resolvedKey(requesterId, -1));
    }
    this.#tlb.dropFront();
  }

  invalidatePasids(matches: (did: number, pasid: number) => boolean): void {
    for (const [key, { translation }] of this.#resolved) {
      const requesterId = Math.floor(key / PASID_SPAN);
      const tagged = (key % PASID_SPAN) - 1;
      const pasid = tagged >= 0 ? tagged : (this.#contexts.get(requesterId)?.ridPasid ?? 0);
      if (!translation.legacy && matches(translation.did, pasid)) this.#resolved.delete(key);
    }
    this.#tlb.dropFront();
  }
}

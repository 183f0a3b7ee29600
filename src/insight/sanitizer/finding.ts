/** What the DMA sanitizer can find. */
import type { CallSite } from '../sites/call-site.ts';

/** Kinds of findings, and what each means. */
export const FINDING_KINDS = {
  'dma-never-mapped': 'a device reached for an address that was never mapped',
  'dma-after-unmap': 'a device reached for an address after it was unmapped',
  'wrong-direction':
    'a device wrote to what is mapped for reading, or read what is mapped for writing',
  'failed-map-used': 'a device used an address whose mapping had failed',
  'unmap-short': 'an unmap succeeded and removed nothing, or left a mapping in its range',
  'rights-differ': 'one page is mapped twice with different rights',
  'transfer-overruns': 'a transfer went on from one mapping into another, of other memory',
  'memory-lost': 'memory was unmapped or given back while devices could reach it',
  'lost-memory-used': 'a device reached memory that its program had unmapped or given back',
  leak: 'mappings, objects, interrupts and PASIDs that were there when their file was closed',
} as const satisfies Readonly<Record<string, string>>;

/** A kind of finding. */
export type FindingKind = keyof typeof FINDING_KINDS;
/** All of them. */
// cast: the keys of the table
export const ALL_FINDINGS = Object.keys(FINDING_KINDS) as FindingKind[];
/** What programs may do that know what they do: leave things to the kernel, unmap memory before its mapping. */
const ON_DEMAND: readonly FindingKind[] = ['leak', 'memory-lost'];
/** Those that are looked for when no kinds are named. */
export const DEFAULT_FINDINGS = ALL_FINDINGS.filter((kind) => !ON_DEMAND.includes(kind));

/** A place that belongs to a finding: what was done there, as a title, and where. */
export interface FindingPlace {
  readonly title: string;
  readonly site: CallSite | undefined;
}
/** One thing that is wrong with a program. */
export interface Finding {
  readonly kind: FindingKind;
  /** The process it is said of. */
  readonly pid: number;
  /** 'on iova 0x1000 by 0000:00:04.0' */
  readonly about: string;
  /** What happened, in more words. */
  readonly details: readonly string[];
  /** The place to look at first comes first. */
  readonly places: readonly FindingPlace[];
}

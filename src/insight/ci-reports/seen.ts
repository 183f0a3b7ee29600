/** What was noticed in a run, as plain data: what reports for machines are made of, whoever noticed it. */
import type { Finding, FindingKind } from '../sanitizer/finding.ts';
import { FINDING_KINDS } from '../sanitizer/finding.ts';
import type { CallSite } from '../sites/call-site.ts';
import { tellingFrame } from '../sites/site-text.ts';
import { headOf, ranked, reasonsOf } from '../explain/report.ts';
import type { TroubleJournal } from '../explain/journal.ts';
import { isFailedCall, type TroubleEvent } from '../explain/trouble.ts';

/** What can be noticed, and what each is. */
export const SEEN_KINDS = {
  'refused-call': 'a call of the program was refused',
  'idle-call': 'a call of the program succeeded and did nothing',
  'waiting-call': 'a call of the program waits, and has not been answered',
  'register-signal': 'registers did not answer the program, which is a signal',
  'pulled-out': 'a device was pulled out while the program had it open',
  'stopped-dma': 'DMA of a device was stopped before it reached the IOMMU',
  fault: 'the IOMMU stopped DMA',
  'kernel-warning': 'the kernel warned of itself',
  ...FINDING_KINDS,
} as const satisfies Readonly<Record<string, string>>;
/** One of them. */
export type SeenKind = keyof typeof SEEN_KINDS;

/** A place in a program, as far as it is known. */
export interface SeenPlace {
  readonly function?: string;
  /** As the compiler was given it. */
  readonly file?: string;
  readonly line?: number;
  readonly module?: string;
}
/** One thing that was noticed, however often it happened. */
export interface Seen {
  readonly kind: SeenKind;
  /** One line. */
  readonly title: string;
  /** Why, and what to do. */
  readonly reasons: readonly string[];
  readonly count: number;
  /** The place to look at first, and what was done there, where it is not plain. */
  readonly place?: SeenPlace;
  readonly placeTitle?: string;
  /** Places that belong to it, each with what was done there. */
  readonly others: readonly { readonly title: string; readonly place: SeenPlace }[];
}

/** What did not work, the likely cause first. */
export function seenTroubles(journal: TroubleJournal): Seen[] {
  return ranked(journal).map((trouble) => {
    const place = placeOfSite(trouble.site);
    return {
      kind: kindOfTrouble(trouble.event),
      title: headOf(trouble.event).replace(/^✗ /, ''),
      reasons: reasonsOf(trouble),
      count: trouble.count,
      ...(place && { place }),
      others: [],
    };
  });
}
/** What kind of thing did not work. */
export function kindOfTrouble(event: TroubleEvent): Exclude<SeenKind, FindingKind> {
  switch (event.kind) {
    case 'leave':
      return isFailedCall(event) ? 'refused-call' : 'idle-call';
    case 'sleep':
      return 'waiting-call';
    case 'signal':
      return 'register-signal';
    case 'dma':
      return 'stopped-dma';
    case 'fault':
      return 'fault';
    case 'warn':
      return 'kernel-warning';
    case 'life':
      return 'pulled-out';
  }
}

/** A finding of the sanitizer; the first place of it that is known is its own. */
export function seenFinding({ kind, about, details, places }: Finding, count: number): Seen {
  const known = places.flatMap(({ title, site }) => {
    const place = placeOfSite(site);
    return place ? [{ title, place }] : [];
  });
  const [first, ...others] = known;
  return {
    kind,
    title: `${kind} ${about}`,
    reasons: details,
    count,
    ...(first && { place: first.place, placeTitle: first.title }),
    others,
  };
}
/** Is it of the sanitizer? */
export function isFinding(kind: SeenKind): kind is FindingKind {
  return kind in FINDING_KINDS;
}

function placeOfSite(site: CallSite | undefined): SeenPlace | undefined {
  const frame = site && tellingFrame(site);
  if (!frame) return undefined;
  const { function: name, module, source } = frame;
  return {
    ...(name !== undefined && { function: name }),
    ...(module !== undefined && { module }),
    ...(source && { file: source.file, line: source.line }),
  };
}
/** 'map_page, ring.c:42'; empty: nothing is known. */
export function placeText({ function: name, file, line, module }: SeenPlace): string {
  const where = file === undefined ? module : `${file}:${line}`;
  return [name, where].filter((part) => part !== undefined).join(', ');
}

/**
 * What of the event stream somebody chooses to hear: what nobody has chosen is not built. So a listener that needs a few kinds of
 * events, such as the sanitizer, costs the calls and transfers nothing that it does not look at.
 */
import type { TraceEvent } from './events.ts';

/** What can be chosen. Troubles are heard besides, always (trace.ts). 'store': to registers, with the call it is in. */
export const HEARABLE = [
  'dma',
  'life',
  'map',
  'object-born',
  'object-gone',
  'pages-lost',
  'store',
  'unmap',
] as const;
/** One of them. */
export type Hearable = (typeof HEARABLE)[number];

/** What one listener wants. It may hear more: what others want. */
export interface Choice {
  readonly events: ReadonlySet<Hearable>;
  /** Of calls those; `request`: of ioctl(2). Asked before each call. */
  readonly calls: (name: string, request: number | undefined) => boolean;
  /** Their beginnings too; else their ends alone. Of stores both are told. */
  readonly enters: boolean;
}

/** What is heard by anybody. */
export class Hearing implements Readonly<Record<Hearable, boolean>> {
  dma = false;
  life = false;
  map = false;
  'object-born' = false;
  'object-gone' = false;
  'pages-lost' = false;
  store = false;
  unmap = false;

  /** `all`: somebody listens to everything. */
  set(choices: Iterable<Choice>, all: boolean): void {
    const wanted = [...choices];
    for (const what of HEARABLE) this[what] = all || wanted.some(({ events }) => events.has(what));
  }
  /** Is an event of this kind? */
  of({ kind }: TraceEvent): boolean {
    if (kind === 'mmio') return this.store;
    return isHearable(kind) && this[kind];
  }
}
function isHearable(kind: string): kind is Hearable {
  return (HEARABLE as readonly string[]).includes(kind); // cast: to ask for any text
}

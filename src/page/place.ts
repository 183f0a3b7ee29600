/** Where the reader is: the view, the search, the event that is looked at. It is in the address, so that it can be sent on. */

/** The views of the page, in the order of their tabs. */
export const VIEWS = ['findings', 'addresses', 'timeline', 'topology', 'events'] as const;
export type ViewName = (typeof VIEWS)[number];

/** What the address says after `#`. */
export interface PagePlace {
  readonly view: ViewName;
  /** Words that an event's line is to have. */
  readonly search: string;
  /** Kinds of events that are shown; empty: all. */
  readonly kinds: readonly string[];
  /** The event whose details are shown. */
  readonly seq: number | undefined;
  /** The domain whose addresses are shown. */
  readonly domain: string | undefined;
}

const NOWHERE: PagePlace = {
  view: 'findings',
  search: '',
  kinds: [],
  seq: undefined,
  domain: undefined,
};

/** What of an address is not understood is left out: it may be of another version. */
export function placeOf(hash: string): PagePlace {
  const said = new URLSearchParams(hash.replace(/^#/, ''));
  const view = VIEWS.find((name) => name === said.get('view'));
  const seq = said.get('event') ?? '';
  return {
    view: view ?? NOWHERE.view,
    search: said.get('search') ?? '',
    kinds: (said.get('kinds') ?? '').split(',').filter(Boolean),
    seq: /^\d{1,15}$/.test(seq) ? Number(seq) : undefined,
    domain: said.get('domain') ?? undefined,
  };
}

/** The shortest address of a place. */
export function hashOf({ view, search, kinds, seq, domain }: PagePlace): string {
  const said = new URLSearchParams({ view });
  if (search !== '') said.set('search', search);
  if (kinds.length > 0) said.set('kinds', kinds.join(','));
  if (seq !== undefined) said.set('event', String(seq));
  if (domain !== undefined) said.set('domain', domain);
  return `#${said.toString()}`;
}

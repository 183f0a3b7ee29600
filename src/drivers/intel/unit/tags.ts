/** What a VT-d unit tells cached translations apart by (formats.md 7; VT-d 6.2.4). */

/** The stages a translation has, or that it is what a device with a TLB of its own has been told. */
export type TagKind = 'second' | 'first' | 'nested' | 'pass' | 'device';

/** Domain id and PASID; the kind keeps stages apart that share both. */
export interface IntelTag {
  readonly kind: TagKind;
  /** Domain id; for a device TLB the requester id. */
  readonly did: number;
  /** -1 when entries are not told apart by PASID. */
  readonly pasid: number;
}

/** The same for tags that are the same. */
export function tagKey({ kind, did, pasid }: IntelTag): string {
  return `${kind}:${did}:${pasid}`;
}

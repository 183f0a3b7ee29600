/**
 * Releases of Linux a machine can run. Nobody but tables compares them: what joined an ABI and when
 * (uapi/iommufd-since.ts), and which kernel has which trait (machine/description/releases.ts).
 */

/** Oldest first: those that differ in something modelled here, as far as the specification tells. */
export const RELEASES = [
  '5.8',
  '6.2',
  '6.6',
  '6.7',
  '6.8',
  '6.11',
  '6.12',
  '6.13',
  '6.14',
  '6.15',
  '6.17',
  '7.2',
  '7.3',
] as const;

/** A release of Linux a machine can run, such as '6.12'. */
export type Release = (typeof RELEASES)[number];

/** What a machine runs that was told nothing. */
export const NEWEST_RELEASE: Release = '7.3';

/** Is `release` at least `first`? */
export function isSince(release: Release, first: Release): boolean {
  return RELEASES.indexOf(release) >= RELEASES.indexOf(first);
}

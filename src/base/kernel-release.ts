/**
 * Releases of Linux a machine can run. Nobody but tables compares them: what joined an ABI and when
 * (uapi/iommufd-since.ts), and which kernel has which trait (machine/description/releases.ts).
 */

/** Oldest first: those that differ in something modelled here, as far as the specification tells. */
export const RELEASES = [
  '5.8',
  '5.15',
  '5.18',
  '6.1',
  '6.2',
  '6.5',
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

/** A version as kernels are called: '6.12', 'v6.12.3', '6.8.0-45-generic'. */
export const VERSION_FORM = /^v?(\d{1,3})\.(\d{1,4})(\.\d+)*([-+~_][\w.+~-]*)?$/;

/**
 * The release that such a version behaves as: the newest known one that is not newer, or the oldest of all. Undefined: it
 * is no version.
 */
export function nearestRelease(version: string): Release | undefined {
  const numbers = VERSION_FORM.exec(version);
  if (!numbers) return undefined;
  const wanted = Number(numbers[1]) * 10_000 + Number(numbers[2]);
  return RELEASES.findLast((release) => ordinal(release) <= wanted) ?? RELEASES[0];
}
function ordinal(release: Release): number {
  const [major, minor] = release.split('.').map(Number);
  return major! * 10_000 + minor!;
}

/** Is `release` at least `first`? */
export function isSince(release: Release, first: Release): boolean {
  return RELEASES.indexOf(release) >= RELEASES.indexOf(first);
}

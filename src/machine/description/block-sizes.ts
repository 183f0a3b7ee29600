/** Sizes of storage as people write them. */

/** Disks are counted in these. */
export const SECTOR = 512;
/** No disk is larger: 1 PiB. */
export const LARGEST_DISK = 2 ** 50;
/** How a size is written that is no number of bytes. */
export const SIZE_FORM = /^([1-9][0-9]{0,14})([KMGT]?)$/;

/** Bytes of what stands behind a number. */
export const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** In bytes. A text has been checked against the form. */
export function bytesOf(size: number | string): number {
  if (typeof size === 'number') return size;
  const [, digits = '', unit = ''] = SIZE_FORM.exec(size) ?? [];
  return Number(digits) * SIZE_UNITS[unit]!;
}

/** Comparing bytes, where nothing of Node is to be had. */

/** As long, and equal. A loop: it is on the path of calls that are decoded. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let n = 0; n < one.length; n++) if (one[n] !== other[n]) return false;
  return true;
}

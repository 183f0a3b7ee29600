/** Binary search in a list that is sorted by a number of its elements. */

/** Index of the last element whose key is at or below a value; -1: there is none. */
export function lastAtOrBelow<T, K extends number | bigint>(
  sorted: readonly T[],
  value: K,
  keyOf: (element: T) => K,
): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keyOf(sorted[middle]!) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

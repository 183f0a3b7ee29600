/** Assertions that need no test runner. */

/** Throws unless it holds. */
export function insist(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}
/** Throws unless both are the same values: numbers, bigints, bytes, arrays, maps and structures of them. */
export function insistEqual(actual: unknown, expected: unknown, what: string): void {
  const [is, wanted] = [text(actual), text(expected)];
  if (is === wanted) return;
  let at = 0;
  while (is[at] === wanted[at]) at++;
  const around = (all: string): string => all.slice(Math.max(0, at - 60), at + 60);
  throw new Error(`${what}: …${around(is)}… where …${around(wanted)}… was expected`);
}

function text(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return `0x${part.toString(16)}`;
    if (part instanceof Uint8Array) return part.join();
    if (part instanceof Map || part instanceof Set) return Array.from<unknown>(part);
    return part === undefined ? 'undefined' : part;
  });
}

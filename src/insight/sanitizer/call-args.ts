/** Decoded arguments of an ioctl, by the names of the header. */
export type CallArgs = Readonly<Record<string, unknown>>;

/** Flags are their names, with a bar between. */
export function hasFlag({ flags }: CallArgs, name: string): boolean {
  if (typeof flags !== 'string') return false;
  if (flags !== lastFlags) {
    lastFlags = flags;
    lastNames = flags.split('|');
  }
  return lastNames.includes(name);
}
/** A call is asked for several, and the next one mostly for the same. */
let lastFlags = '';
let lastNames: readonly string[] = [];

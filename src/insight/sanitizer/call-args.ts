/** Decoded arguments of an ioctl, by the names of the header. */
export type CallArgs = Readonly<Record<string, unknown>>;

/** Flags are their names, with a bar between. */
export function hasFlag({ flags }: CallArgs, name: string): boolean {
  if (typeof flags !== 'string') return false;
  // A name may be the beginning of another.
  for (let at = flags.indexOf(name); at >= 0; at = flags.indexOf(name, at + 1)) {
    const end = at + name.length;
    const begins = at === 0 || flags[at - 1] === '|';
    if (begins && (end === flags.length || flags[end] === '|')) return true;
  }
  return false;
}

/** Decoded arguments of an ioctl, by the names of the header. */
export type CallArgs = Readonly<Record<string, unknown>>;

/** Flags are their names, with a bar between. */
export function hasFlag({ flags }: CallArgs, name: string): boolean {
  return typeof flags === 'string' && flags.split('|').includes(name);
}

/** Names of calls where people write them. */

/** As programs call them, and as the event stream does. */
export const ALIASES: Readonly<Record<string, string>> = {
  open: 'openat',
  pread: 'pread64',
  pwrite: 'pwrite64',
};

/** Is a call on a file of this name or device, or on one below it? */
export function isCallOn(
  { device, file = '' }: { readonly device?: string; readonly file?: string },
  name: string,
): boolean {
  return device === name || file.includes(name);
}

/** Names of calls where people write them. */

/** As programs call them, and as the event stream does. */
export const ALIASES: Readonly<Record<string, string>> = {
  open: 'openat',
  pread: 'pread64',
  pwrite: 'pwrite64',
};

/**
 * The end of a process in which code of the user's has run (plugins): it comes, whatever that code has begun.
 *
 * Nothing of it is waited for: no timer, no server. Node's own process.exit() would still wait for the threads that read
 * files, and such a thread may wait for a FIFO that nobody writes to.
 */
let isGuarded = false;

/** Has code of the user's run in this process? Then process.exit() is its end, and nothing else may be. */
export function hasGuestCode(): boolean {
  return isGuarded;
}

/** Code of the user's is about to run. Where native code cannot be loaded, process.exit() stays Node's. */
export async function makeEndSure(): Promise<void> {
  if (isGuarded) return;
  isGuarded = true;
  const { syscall } = await import('./ffi.ts').catch(() => ({ syscall: undefined }));
  const { NR } = await import('./numbers.ts');
  if (syscall) process.on('exit', (status) => void syscall(NR.exit_group, status));
}

/** The looks of programs at attributes in a mounted tree, answered by the wait loop. */
import type { CallContext } from '../calls/call-context.ts';
import type { AttrAccess, FuseServer } from '../tree/fuse-server.ts';

/** From now on; `later` is told what is to be tried again. */
export function serveTree(
  context: CallContext,
  server: FuseServer,
  later: AttrAccess['later'],
): void {
  const { syscalls } = context.machine;
  const access: AttrAccess = {
    settle: () => context.files.drainCloses(),
    task: (tid) => context.processes.taskOf(tid),
    cred: (tid) => context.processes.cred(tid, 'fs'),
    readAttr: (task, path, node) => syscalls.readAttr(task, path, node),
    writeAttr: (...args) => syscalls.writeAttr(...args),
    later,
    bug: (op, error) => context.warn(`bug in the host layer in FUSE request ${op}: ${error}`),
    short: (reason) => context.sayOnce(reason),
  };
  const watch = context.watches.watchFd(server.fd, () => {
    if (!server.serve(access)) watch[Symbol.dispose]();
  });
}

/**
 * Files of /proc that show what only the simulated kernel knows: VmLck, VmPin and capabilities in a process's status, what
 * a file of ours adds to its fdinfo, and fail-nth of a thread. What /proc tells of the whole kernel are nodes of the tree; the
 * rest of it is the host's.
 */
import type { MachineMm } from '../../machine/memory/mm.ts';
import type { Views } from '../process/view.ts';
import type { CallContext } from './call-context.ts';
import { handOver } from '../seccomp/hand-over.ts';
import * as libc from '../sys/libc.ts';
import type { FileLink } from '../sys/look.ts';
import { memfdWith } from '../sys/memfd.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { textOf } from '../sys/procfs.ts';
import { O_ACCMODE, O_CLOEXEC } from '../sys/numbers.ts';
import { procPath } from './proc-paths.ts';
import { orShortage } from '../sys/shortage.ts';
import { Shortage } from '../../base/shortage.ts';

const TEXTS: ReadonlySet<string> = new Set(['status', 'limits', 'fail-nth']);
const FDINFO = /^fdinfo\/(\d+)$/;
const LINK = /^(?:fd\/(\d+)|cwd|root)$/;
const KIB_PER_PAGE = 4;

/** Opens of /proc that the simulated kernel answers. */
export class SimulatedProc {
  readonly #context: CallContext;
  readonly #views: Views;
  constructor(context: CallContext, views: Views) {
    this.#context = context;
    this.#views = views;
  }

  /** Undefined: the host's own file is right. */
  open(call: Notification, path: string, flags: number): Answer | undefined {
    const { processes } = this.#context;
    const found = path.startsWith('/proc/') ? procPath(path, call.tid, processes) : undefined;
    if (!found) return undefined;
    const { tid, what } = found;
    const fd = FDINFO.exec(what)?.[1];
    if (fd === undefined && !TEXTS.has(what)) return undefined;
    if (!processes.mayLook(call.tid, tid) || !this.#views.of(call.tid).shows('/proc'))
      return undefined;
    if (what === 'limits') return this.#limits(call, path, tid, flags);
    if (what === 'status') return this.#status(call, path, tid, flags);
    if (fd !== undefined) return this.#fdinfo(call, path, { tid, fd: Number(fd) }, flags);
    return this.#failNth(call, path, tid, flags);
  }
  /** The link of a descriptor or a directory of a process, as a path of our own; undefined: the path is another. */
  linkNamed(call: Notification, path: string): FileLink | undefined {
    const { processes } = this.#context;
    const found = procPath(path, call.tid, processes);
    const [what, fd] = LINK.exec(found?.what ?? '') ?? [];
    if (!found || what === undefined || !processes.mayLook(call.tid, found.tid)) return undefined;
    if (fd !== undefined) return `/proc/${found.tid}/fd/${fd}`;
    return `/proc/${found.tid}/${what === 'cwd' ? 'cwd' : 'root'}`;
  }
  #status(call: Notification, path: string, tid: number, flags: number): Answer | undefined {
    if ((flags & O_ACCMODE) !== 0) return undefined;
    const { processes } = this.#context;
    const pid = processes.processOf(tid);
    const mm = processes.peek({ tid, pid });
    const own = pid === processes.processOf(call.tid) && processes.capabilities !== undefined;
    if (!mm && !own) return undefined;
    const text = textOf(`/proc/${tid}/status`);
    if (text === '') return undefined; // gone
    const shown = processes.capabilities?.inStatus(pid, text) ?? text;
    return this.#giveText(call, path, mm ? withPins(shown, mm) : shown, flags);
  }
  #limits(call: Notification, path: string, tid: number, flags: number): Answer | undefined {
    const { lockLimits, processes } = this.#context;
    if (!lockLimits || (flags & O_ACCMODE) !== 0) return undefined;
    const text = textOf(`/proc/${tid}/limits`);
    if (text === '') return undefined; // gone
    const pid = processes.processOf(tid);
    return this.#giveText(call, path, lockLimits.inLimits(pid, text), flags);
  }
  #fdinfo(
    call: Notification,
    path: string,
    { tid, fd }: { tid: number; fd: number },
    flags: number,
  ): Answer | undefined {
    if ((flags & O_ACCMODE) !== 0) return undefined;
    const entry = this.#context.files.of(tid, fd);
    const added = entry?.kind === 'file' ? entry.file.ops.fdinfo?.(entry.file) : undefined;
    if (added === undefined) return undefined;
    return this.#giveText(call, path, textOf(`/proc/${tid}/fdinfo/${fd}`) + added, flags);
  }
  #giveText(call: Notification, path: string, text: string, flags: number): Answer {
    const made = memfdWith(`softiommu-text:${path}`, Buffer.from(text, 'latin1'));
    if (made < 0) return made;
    const readOnly = orShortage(() => libc.open(`/proc/self/fd/${made}`, O_CLOEXEC));
    libc.close(made);
    if (readOnly instanceof Shortage) throw readOnly;
    if (readOnly < 0) return readOnly;
    return handOver(this.#context.transport, call, readOnly, (flags & O_CLOEXEC) !== 0);
  }

  #failNth(call: Notification, path: string, tid: number, flags: number): Answer | undefined {
    const { faults } = this.#context.machine;
    if (!faults) return undefined;
    const node = faults.failNth(tid);
    const opened = this.#context.files.createAttr({ path, node, flags }, new Uint8Array(0));
    if (typeof opened === 'number') return opened;
    const cloexec = (flags & O_CLOEXEC) !== 0;
    const fd = this.#context.processes.install(call, opened.fd, { cloexec, stream: true });
    libc.close(opened.fd);
    return fd;
  }
}

/** What the machine has locked and pinned, on top of what the host has. */
function withPins(status: string, mm: MachineMm): string {
  const add = (name: string, pages: number) => (line: string, kib: string) =>
    pages === 0 ? line : `${name}:\t${String(Number(kib) + pages * KIB_PER_PAGE).padStart(8)} kB`;
  return status
    .replace(/^VmLck:\s+(\d+) kB$/m, add('VmLck', mm.lockedVm))
    .replace(/^VmPin:\s+(\d+) kB$/m, add('VmPin', mm.pinnedVm));
}

/**
 * Files of /proc that show what only the simulated kernel knows: VmLck, VmPin and capabilities in a process's status, what
 * a file of ours adds to its fdinfo, and fail-nth of a thread; its modules, majors and PCI functions. The rest of /proc is
 * the host's.
 */
import { PROC_TEXTS } from '../../machine/files/proc.ts';
import { CAP_SYS_PTRACE } from '../../base/task.ts';
import type { MachineMm } from '../../machine/memory/mm.ts';
import type { CallContext } from './call-context.ts';
import { handOver } from './hand-over.ts';
import * as libc from '../sys/libc.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { textOf } from '../sys/procfs.ts';
import { O_ACCMODE, O_CLOEXEC } from '../sys/numbers.ts';
import { orShortage } from '../sys/shortage.ts';
import { Shortage } from '../../base/shortage.ts';

const PATTERN =
  /^\/proc\/(self|thread-self|\d+)(?:\/task\/(\d+))?\/(status|fail-nth|fdinfo\/(\d+))$/;
const LINK = /^\/proc\/(self|thread-self|\d+)(?:\/task\/(\d+))?\/(fd\/\d+|cwd|root)$/;
/** Where a module lies in the kernel is shown to root only. */
const ADDRESS = /\b0x[0-9a-f]{16}\b/g;
const NO_ADDRESS = `0x${'0'.repeat(16)}`;
const KIB_PER_PAGE = 4;

/** Opens of /proc that the simulated kernel answers. */
export class SimulatedProc {
  readonly #context: CallContext;
  constructor(context: CallContext) {
    this.#context = context;
  }

  /** Undefined: the host's own file is right. */
  open(call: Notification, path: string, flags: number): Answer | undefined {
    const ofKernel = (flags & O_ACCMODE) === 0 ? PROC_TEXTS.get(path) : undefined;
    if (ofKernel) {
      const hosts = textOf(path).replace(ADDRESS, NO_ADDRESS);
      return this.#giveText(call, path, ofKernel(this.#context.machine, hosts), flags);
    }
    const found = PATTERN.exec(path);
    if (!found) return undefined;
    const tid = this.#thread(call, found[1]!, found[2]);
    if (!libc.exists(`/proc/${tid}`) || !this.#mayLook(call, tid)) return undefined;
    if (found[3] === 'status') return this.#status(call, path, tid, flags);
    if (found[4] !== undefined)
      return this.#fdinfo(call, path, { tid, fd: Number(found[4]) }, flags);
    return this.#failNth(call, path, tid, flags);
  }
  /** The link of a descriptor or a directory of a process, as a path of our own; undefined: the path is another. */
  linkNamed(call: Notification, path: string): string | undefined {
    const [, name, task, link] = LINK.exec(path) ?? [];
    if (name === undefined) return undefined;
    const tid = this.#thread(call, name, task);
    return this.#mayLook(call, tid) ? `/proc/${tid}/${link!}` : undefined;
  }
  #thread(call: Notification, name: string, task: string | undefined): number {
    if (task !== undefined) return Number(task);
    if (name === 'thread-self') return call.tid;
    return name === 'self' ? this.#context.processes.processOf(call.tid) : Number(name);
  }

  /** Of a process of its own user, or with CAP_SYS_PTRACE; of others the host's file is right. */
  #mayLook({ tid: caller }: Notification, tid: number): boolean {
    const { processes } = this.#context;
    if (processes.processOf(caller) === processes.processOf(tid)) return true;
    const cred = processes.cred(caller, 'fs');
    return cred.uid === processes.cred(tid, 'real').uid || cred.capable(CAP_SYS_PTRACE);
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
    const made = libc.memfdCreate(`softiommu-text:${path}`);
    if (made < 0) return made;
    libc.write(made, Buffer.from(text, 'latin1'));
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

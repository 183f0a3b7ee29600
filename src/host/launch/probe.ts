/**
 * What this host permits, found out by trying: the ground of `doctor` and of the choice of mode.
 *
 * Nothing is left changed: seccomp is asked with a filter the kernel cannot read, which fails after the flags were checked.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { cString, syscall } from '../sys/ffi.ts';
import { IoUring, RingPipe } from '../sys/io-uring.ts';
import * as libc from '../sys/libc.ts';
import { textOf } from '../sys/procfs.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';

/** What this host permits. */
export interface HostFacts {
  readonly release: string;
  readonly listener: boolean;
  readonly killableListener: boolean;
  readonly pidfdGetfd: boolean;
  readonly processMemory: boolean;
  /** A user namespace with mounts of its own can be made, by trying. */
  readonly userNamespaces: boolean;
  /** kernel.apparmor_restrict_unprivileged_userns */
  readonly appArmorRestricts: boolean;
  readonly mayMount: boolean;
  readonly fuse: boolean;
  /** kernel.yama.ptrace_scope; 0 where there is no Yama. */
  readonly ptraceScope: number;
  readonly memlock: string;
  readonly ioUring: boolean;
  readonly temporary: boolean;
}

const SECCOMP_SET_MODE_FILTER = 1;
const NEW_LISTENER = 8;
const WAIT_KILLABLE_RECV = 32;
const CAP_SYS_ADMIN = 21n;

/** Found by trying where nothing else tells. */
export function probeHost(): HostFacts {
  const status = textOf('/proc/self/status');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return {
    release: libc.kernelRelease(),
    listener: filterFlagsKnown(NEW_LISTENER),
    killableListener: filterFlagsKnown(NEW_LISTENER | WAIT_KILLABLE_RECV),
    pidfdGetfd: canGetFd(),
    processMemory: canReadMemory(),
    // Tried only when somebody asks: it starts a process.
    get userNamespaces() {
      return canUnshareUser();
    },
    appArmorRestricts:
      textOf('/proc/sys/kernel/apparmor_restrict_unprivileged_userns').trim() === '1',
    mayMount: ((effective >> CAP_SYS_ADMIN) & 1n) === 1n && mountAllowed(),
    fuse: may('/dev/fuse', constants.R_OK | constants.W_OK),
    ptraceScope: Number(textOf('/proc/sys/kernel/yama/ptrace_scope').trim() || '0'),
    memlock: /^Max locked memory\s+(\w+)/m.exec(textOf('/proc/self/limits'))?.[1] ?? 'unknown',
    ioUring: canRegisterBuffers(),
    temporary:
      may(process.env['TMPDIR'] ?? '/tmp', constants.W_OK) || may('/var/tmp', constants.W_OK),
  };
}

/** EFAULT: the flags were good and the filter was looked for; EINVAL: the flags are unknown. */
function filterFlagsKnown(flags: number): boolean {
  const rc = syscall(NR.seccomp, SECCOMP_SET_MODE_FILTER, flags, 0);
  return rc === -HOST_ERRNO.EFAULT;
}
function canGetFd(): boolean {
  const pidfd = libc.pidfdOpen(process.pid);
  if (pidfd < 0) return false;
  const fd = libc.pidfdGetfd(pidfd, pidfd);
  libc.close(pidfd);
  if (fd >= 0) libc.close(fd);
  return fd >= 0;
}
function canRegisterBuffers(): boolean {
  const pipe = RingPipe.open();
  if (typeof pipe === 'number') return false;
  const ring = IoUring.open(pipe);
  pipe.close();
  if (typeof ring === 'number') return false;
  ring.close();
  return true;
}
function canReadMemory(): boolean {
  const from = Buffer.from('x');
  const into = Buffer.alloc(1);
  const at = [libc.iovec(into), 1, libc.iovec(from), 1, 0];
  return syscall(NR.process_vm_readv, process.pid, ...at) === 1 && into[0] === from[0];
}
/** With a mount inside: AppArmor lets the namespace be made and then takes its rights. */
function canUnshareUser(): boolean {
  const args = ['--user', '--mount', '--map-current-user', '--keep-caps', '--'];
  const inside = ['mount', '-t', 'tmpfs', 'none', '/tmp'];
  return spawnSync('/usr/bin/unshare', [...args, ...inside], { stdio: 'ignore' }).status === 0;
}
/** An unmount of nothing: EPERM when it is forbidden, EINVAL or ENOENT when only the place is wrong. */
function mountAllowed(): boolean {
  const rc = syscall(NR.umount2, cString('/nonexistent-softiommu'), 0);
  return rc !== -HOST_ERRNO.EPERM && rc !== -HOST_ERRNO.ENOSYS;
}

function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

/** The host's facts as advice: what works, what is lost without the rest, and the one thing that changes it. */
import { probeHost, type HostFacts } from './probe.ts';

/** One finding about this host. */
export interface Diagnosis {
  /** 'missing' keeps programs from running at all; 'reduced' loses something. */
  readonly verdict: 'ok' | 'reduced' | 'missing';
  readonly topic: string;
  readonly finding: string;
  readonly remedy?: string;
}

/** Everything that matters for running programs, by trying. */
export function diagnose(host: HostFacts = probeHost()): Diagnosis[] {
  return CHECKS.map((check) => check(host));
}
/** One line, two when there is a remedy. */
export function formatDiagnosis({ verdict, topic, finding, remedy }: Diagnosis): string {
  const line = `${verdict.padEnd(8)} ${topic.padEnd(16)} ${finding}`;
  return remedy === undefined ? line : `${line}\n${' '.repeat(26)}-> ${remedy}`;
}

/** What keeps a mount namespace from being made, first things first. */
export function namespaceObstacle(
  host: HostFacts,
): { readonly finding: string; readonly remedy: string } | undefined {
  if (!host.fuse) {
    return {
      finding: '/dev/fuse cannot be opened for reading and writing',
      remedy: 'modprobe fuse, chmod 666 /dev/fuse, or docker run --device /dev/fuse',
    };
  }
  if (host.mayMount) return undefined;
  if (!host.userNamespaces) {
    return {
      finding: 'mount(2) is refused, and so are user namespaces',
      remedy: host.appArmorRestricts
        ? 'sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run as root'
        : 'sysctl user.max_user_namespaces=15000, run as root, or docker run --privileged',
    };
  }
  return undefined;
}

type Check = (host: HostFacts) => Diagnosis;

/** A check with one good and one bad answer. */
function check(
  topic: string,
  holds: (host: HostFacts) => boolean,
  good: string,
  bad: Omit<Diagnosis, 'topic'>,
): Check {
  return (host) => (holds(host) ? { verdict: 'ok', topic, finding: good } : { topic, ...bad });
}

const CHECKS: readonly Check[] = [
  (host) => ({ verdict: 'ok', topic: 'kernel', finding: `Linux ${host.release}` }),
  check('seccomp', (host) => host.listener, 'system calls can be trapped and answered', {
    verdict: 'missing',
    finding: 'seccomp listeners are refused',
    remedy:
      'use Linux 5.19 or later with CONFIG_SECCOMP_FILTER; let the container allow seccomp(2)',
  }),
  check('seccomp flags', (host) => host.killableListener, 'signals do not restart a trapped call', {
    verdict: 'missing',
    finding: 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is unknown',
    remedy: 'use Linux 5.19 or later',
  }),
  check('process memory', (host) => host.processMemory, "devices reach a program's memory", {
    verdict: 'missing',
    finding: 'process_vm_readv is refused',
    remedy: 'let the container allow process_vm_readv and process_vm_writev (--cap-add SYS_PTRACE)',
  }),
  check('ptrace', (host) => host.ptraceScope < 2, 'mapped device registers can be emulated', {
    verdict: 'reduced',
    finding: 'Yama forbids ptrace: registers work through pread and pwrite only',
    remedy: 'sysctl kernel.yama.ptrace_scope=1',
  }),
  check(
    'pidfd_getfd',
    (host) => host.pidfdGetfd,
    'eventfds of programs can be signalled directly',
    {
      verdict: 'reduced',
      finding: 'refused: eventfds are made by softiommu instead, which costs 10 us each',
      remedy: 'docker run --cap-add SYS_PTRACE',
    },
  ),
  (host) => {
    const topic = 'mount namespace';
    const obstacle = namespaceObstacle(host);
    const way = host.mayMount ? 'as root' : 'in a user namespace';
    if (!obstacle) return { verdict: 'ok', topic, finding: `--mode namespace works, ${way}` };
    const finding = `${obstacle.finding}: --mode namespace is refused, the default is not affected`;
    return { verdict: 'reduced', topic, finding, remedy: obstacle.remedy };
  },
  check('io_uring', (host) => host.ioUring, '--pin=exact works', {
    verdict: 'reduced',
    finding: 'refused: --pin=exact is refused too, the default is not affected',
    remedy: "sysctl kernel.io_uring_disabled=0; let the container's seccomp profile allow it",
  }),
  check(
    'temporary files',
    (host) => host.temporary,
    'a directory for the shadow tree is writable',
    {
      verdict: 'missing',
      finding: 'no directory for temporary files is writable',
      remedy: 'set TMPDIR to a writable directory',
    },
  ),
  (host) => ({
    verdict: 'ok',
    topic: 'locked memory',
    finding: `limit ${host.memlock}${host.memlock === 'unlimited' ? '' : ' bytes'}: what a program may map for DMA (ulimit -l)`,
  }),
];

import { describe, expect, test } from 'vitest';
import { diagnose, formatDiagnosis } from './doctor.ts';
import type { HostFacts } from './probe.ts';

const GOOD: HostFacts = {
  release: '6.6.0',
  listener: true,
  killableListener: true,
  pidfdGetfd: true,
  processMemory: true,
  userNamespaces: true,
  appArmorRestricts: false,
  mayMount: true,
  fuse: true,
  ptraceScope: 0,
  memlock: 'unlimited',
  ioUring: true,
  temporary: true,
};

describe('doctor', () => {
  test('doctor has nothing to say against a good host', () => {
    const lines = diagnose(GOOD);
    expect(lines.map(({ verdict }) => verdict)).toEqual(lines.map(() => 'ok'));
    expect(lines.every(({ remedy }) => remedy === undefined)).toBe(true);
  });

  test.for([
    [{ listener: false }, 'missing', 'seccomp', 'CONFIG_SECCOMP_FILTER'],
    [{ killableListener: false }, 'missing', 'seccomp flags', 'Linux 5.19'],
    [{ processMemory: false }, 'missing', 'process memory', 'SYS_PTRACE'],
    [{ ptraceScope: 2 }, 'reduced', 'ptrace', 'kernel.yama.ptrace_scope=1'],
    [{ pidfdGetfd: false }, 'reduced', 'pidfd_getfd', 'SYS_PTRACE'],
    [{ ioUring: false }, 'reduced', 'io_uring', 'kernel.io_uring_disabled=0'],
    [{ temporary: false }, 'missing', 'temporary files', 'TMPDIR'],
    [{ fuse: false }, 'reduced', 'mount namespace', '/dev/fuse'],
    [
      { mayMount: false, userNamespaces: false },
      'reduced',
      'mount namespace',
      'max_user_namespaces',
    ],
    [
      { mayMount: false, userNamespaces: false, appArmorRestricts: true },
      'reduced',
      'mount namespace',
      'kernel.apparmor_restrict_unprivileged_userns=0',
    ],
  ] as const)('doctor says that %o is %s, with one remedy', ([facts, verdict, topic, remedy]) => {
    const bad = diagnose({ ...GOOD, ...facts }).filter((line) => line.verdict !== 'ok');
    expect(bad.map((line) => [line.verdict, line.topic])).toEqual([[verdict, topic]]);
    expect(bad[0]!.remedy).toContain(remedy);
    expect(formatDiagnosis(bad[0]!).split('\n')).toHaveLength(2);
  });

  test('a user namespace does where mounts are refused', () => {
    const line = diagnose({ ...GOOD, mayMount: false }).find((l) => l.topic === 'mount namespace');
    expect(line?.verdict).toBe('ok');
    expect(line?.finding).toContain('user namespace');
  });
});

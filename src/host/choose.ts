/** Which way of showing the tree this host permits, and what else the launcher must know. */
import { HostError } from './ffi.ts';
import { parentOpenFilesLimit } from './launch.ts';
import type { LaunchOptions } from './launch.ts';
import { probeHost } from './probe.ts';

export function chooseLaunch(mode: 'namespace' | 'traps' | undefined): LaunchOptions {
  const host = probeHost();
  if (!host.listener) {
    throw new HostError(
      'the kernel refuses seccomp listeners (SECCOMP_FILTER_FLAG_NEW_LISTENER): Linux 5.0 with CONFIG_SECCOMP_FILTER is needed, and a container must allow seccomp(2); see softiommu doctor',
    );
  }
  if (!host.killableListener) {
    throw new HostError(
      `this kernel (${host.release}) lacks SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: Linux 5.19 or later is needed`,
    );
  }
  if (mode === 'namespace') {
    throw new HostError('namespace mode is not available in this version: leave --mode out');
  }
  const openFilesLimit = parentOpenFilesLimit();
  return {
    pathTraps: true,
    eventfds: !host.pidfdGetfd,
    killable: true,
    ...(openFilesLimit !== undefined && { openFilesLimit }),
  };
}

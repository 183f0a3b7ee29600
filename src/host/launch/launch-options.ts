/** Which way of showing the tree this host permits, and what else the launcher must know. */
import { HostError } from '../sys/ffi.ts';
import { parentOpenFilesLimit } from './launch.ts';
import type { LaunchOptions } from './launcher-order.ts';
import { namespaceObstacle } from './doctor.ts';
import { probeHost, type HostFacts } from './probe.ts';

/** How programs are launched on this host; without a mode, by traps. HostError: it cannot be done, with the remedy. */
export function launchOptions(mode: 'namespace' | 'traps' | undefined): LaunchOptions {
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
  const namespace = mode === 'namespace' ? namespaceEntry(host) : undefined;
  const openFilesLimit = parentOpenFilesLimit();
  return {
    pathTraps: namespace === undefined,
    eventfds: !host.pidfdGetfd,
    killable: true,
    ...(namespace && { namespace }),
    ...(openFilesLimit !== undefined && { openFilesLimit }),
  };
}

/** Traps are the default everywhere: they work wherever programs can be run at all (docs/host.md). */
function namespaceEntry(host: HostFacts): NonNullable<LaunchOptions['namespace']> {
  const obstacle = namespaceObstacle(host);
  if (obstacle) throw new HostError(`--mode namespace: ${obstacle.finding}: ${obstacle.remedy}`);
  return host.mayMount ? 'unshare' : 'user-namespace';
}

/**
 * delete_module(2) of a module of the simulated kernel, which a host of the same modules would unload in its place. Ours stay:
 * one that is used is EAGAIN, and the others are as if they had no way out.
 */
import { CAP_SYS_MODULE } from '../../base/task.ts';
import { loadedModules, refCount } from '../../machine/kernel/modules.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import type { CallContext } from './call-context.ts';

/** @kernel delete_module */
export function deleteModule({ machine, processes }: CallContext, call: Notification): Answer {
  const name = new RemoteMemory(call.tid).readString(call.arg(0));
  const loaded = loadedModules(machine.env, machine.drivers);
  if (typeof name !== 'string' || !loaded.some((module) => module.name === name)) return 'continue';
  if (!processes.cred(call.tid, 'fs').capable(CAP_SYS_MODULE)) return -HOST_ERRNO.EPERM;
  return refCount(loaded, name, machine.vfio) > 0 ? -HOST_ERRNO.EAGAIN : -HOST_ERRNO.EBUSY;
}

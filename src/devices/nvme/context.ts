/** What the commands of a controller work with. */
import type { DevicePort } from '../port.ts';
import type { Command } from './command.ts';
import type { QueueEngine } from './engine.ts';
import type { AsyncEvents } from './events.ts';
import type { FeatureValues } from './feature-values.ts';
import type { Health } from './health.ts';
import type { Namespace } from './namespace.ts';

/** What a controller was made as. */
export interface NvmeConfig {
  /** I/O queues of each kind. */
  readonly queues: number;
  /** A command moves at most 4096 << mdts bytes. */
  readonly mdts: number;
  readonly sgl: boolean;
  readonly doorbellBuffer: boolean;
  /** Empty: made of where the function is. */
  readonly serial: string;
}

/** A controller, as its commands see it. */
export interface Context {
  readonly port: DevicePort;
  readonly config: NvmeConfig;
  readonly engine: QueueEngine;
  readonly namespaces: readonly Namespace[];
  readonly features: FeatureValues;
  readonly health: Health;
  readonly events: AsyncEvents;
  /** Bytes of a memory page, as CC.MPS says. */
  readonly pageSize: number;
}

/** What a command does. The status it ends with, or undefined: it will be completed later. */
export type CommandHandler = (context: Context, command: Command) => number | undefined;
/** Commands by opcode. */
export type CommandTable = ReadonlyMap<number, CommandHandler>;

/** The namespace a command names. Undefined: there is none, which is STATUS.INVALID_NAMESPACE. */
export function namespaceOf({ namespaces }: Context, { nsid }: Command): Namespace | undefined {
  return namespaces[nsid - 1];
}
/** All namespaces at once. */
export const EVERY_NAMESPACE = 0xffff_ffff;
/** The one a command names, or all. Empty: there is none. */
export function namespacesOf(context: Context, command: Command): readonly Namespace[] {
  if (command.nsid === EVERY_NAMESPACE) return context.namespaces;
  const one = namespaceOf(context, command);
  return one ? [one] : [];
}

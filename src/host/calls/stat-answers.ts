/** What stat(2) and its kin write of what is in the tree: owners as the caller's user namespace has them. */
import type { Node, OpenableNode } from '../../machine/files/nodes.ts';
import type { OpenEntry } from '../process/open-files.ts';
import type { HostTask } from '../process/task.ts';
import { ownerFor } from '../process/user-ids.ts';
import type { Views } from '../process/view.ts';
import type { Answer } from '../seccomp/notification.ts';
import {
  encodeStat,
  encodeStatx,
  NO_FILE_SYSTEM,
  statOfFile,
  statOfNode,
  type NodeStat,
} from '../tree/stat.ts';
import { minus, type CallContext } from './call-context.ts';

/** Where, and in which of both forms. */
export interface StatTarget {
  readonly extended: boolean;
  readonly outAt: bigint;
}
/** Which node a file of ours was opened from. */
export interface OpenedFrom {
  get(file: object): OpenableNode | undefined;
}

export class StatAnswers {
  readonly #context: CallContext;
  readonly #views: Views;
  readonly #openedFrom: OpenedFrom;

  constructor(context: CallContext, views: Views, openedFrom: OpenedFrom) {
    this.#context = context;
    this.#views = views;
    this.#openedFrom = openedFrom;
  }

  ofNode(task: HostTask, to: StatTarget, { node, path }: { node: Node; path: string }): Answer {
    return this.#answer(task, to, statOfNode(this.#context.machine.vfs, node, path));
  }
  ofOpen(task: HostTask, to: StatTarget, entry: OpenEntry): Answer {
    if (entry.kind === 'attr') return this.ofNode(task, to, entry);
    const { vfs } = this.#context.machine;
    return this.#answer(task, to, statOfFile(vfs, entry.file, this.#openedFrom.get(entry.file)));
  }
  #answer(task: HostTask, to: StatTarget, stat: NodeStat): Answer {
    const on = stat.path === undefined ? undefined : this.#views.deviceOf(stat.path);
    const encode = to.extended ? encodeStatx : encodeStat;
    const bytes = encode({ ...stat, ...ownerFor(task.tid, stat) }, on ?? NO_FILE_SYSTEM);
    return minus(task.mem.write(to.outAt, bytes));
  }
}

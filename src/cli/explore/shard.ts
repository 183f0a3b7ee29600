/** Which part of the trials is this process's, of several that share them: --shard, or what a CI says. */
import { UserMistake } from '../user-mistake.ts';

/** Which part, from 0, of how many. */
export interface Shard {
  readonly index: number;
  readonly total: number;
}

/** All of them. */
export const WHOLE: Shard = { index: 0, total: 1 };

/**
 * '2/5', from 1; or '5', and the index is JOB_COMPLETION_INDEX of a Kubernetes job, from 0. Without it what GitLab says:
 * CI_NODE_INDEX, from 1, and CI_NODE_TOTAL.
 */
export function shardOf(
  text: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Shard {
  const { CI_NODE_INDEX: node, CI_NODE_TOTAL: nodes, JOB_COMPLETION_INDEX: completion } = env;
  if (text === undefined) {
    if (node === undefined || nodes === undefined) return WHOLE;
    return checked(
      Number(node) - 1,
      Number(nodes),
      `CI_NODE_INDEX=${node}, CI_NODE_TOTAL=${nodes}`,
    );
  }
  const [, first, second] = /^(\d{1,6})(?:\/(\d{1,6}))?$/.exec(text) ?? [];
  if (second !== undefined) return checked(Number(first) - 1, Number(second), `--shard ${text}`);
  if (first !== undefined && completion !== undefined) {
    const said = `--shard ${text}, JOB_COMPLETION_INDEX=${completion}`;
    return checked(Number(completion), Number(first), said);
  }
  throw new UserMistake(
    `--shard ${text}: it is I/N, such as 2/5 for the second of five, or N where JOB_COMPLETION_INDEX is set`,
  );
}
function checked(index: number, total: number, said: string): Shard {
  if (Number.isInteger(index) && index >= 0 && index < total) return { index, total };
  throw new UserMistake(`${said}: there is no such part`);
}

/** What a command of many runs and the process that makes them one after the other say to each other. */

/** What is to be run. */
export interface RunOrder {
  /** What stands behind `run`. */
  readonly words: readonly string[];
  /** How the line begins that says how it ended: nothing a program can foresee. */
  readonly mark: string;
}
/** How a run ended; as the last line of standard error, so that all it said came before. */
export interface RunReply {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The process makes no other. */
  readonly isLast: boolean;
}

/** The descriptor orders come by. */
export const CHANNEL = 3;

/** The line that says it. */
export function replyLine(mark: string, reply: RunReply): string {
  return `${mark}${JSON.stringify(reply)}\n`;
}
/** What was said, and the reply behind it; undefined: it has not come yet. */
export function replyIn(
  said: string,
  mark: string,
): { readonly said: string; readonly reply: RunReply } | undefined {
  const at = said.lastIndexOf(mark);
  // What the process says behind it, such as a warning of Node's, is of no run.
  const end = said.indexOf('\n', at);
  if (at < 0 || end < 0) return undefined;
  // cast: replyLine() has made it
  const reply = JSON.parse(said.slice(at + mark.length, end)) as RunReply;
  return { said: said.slice(0, at), reply };
}

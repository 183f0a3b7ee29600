/** Reading a trace line by line: its first line, then its events, or in one sentence why it is none. */
import type { Stamped } from '../../base/events.ts';
import { OLD_MARK, TEXT_MARK, TRACE_MARK, TRACE_VERSION, type TraceHeader } from './format.ts';
import { headerSchema, stampedSchema } from './schema.ts';

/** What a line of a trace is not, as a sentence that follows the place. */
export interface LineProblem {
  readonly problem: string;
}

const MAKE_ONE = '`softiommu run --trace=FILE.jsonl` writes one';

/** The first line. */
export function readHeader(line: string): TraceHeader | LineProblem {
  if (line.startsWith(TEXT_MARK)) {
    return { problem: `a trace as text is for people, and cannot be read again; ${MAKE_ONE}` };
  }
  if (line.startsWith(OLD_MARK)) {
    return { problem: `a trace of an older softiommu, without a version; ${MAKE_ONE}` };
  }
  const data = TRACE_MARK.test(line) ? dataOf(line) : undefined;
  if (data === undefined) {
    return { problem: `no trace of softiommu: the first line does not say so; ${MAKE_ONE}` };
  }
  // cast: the mark has the number
  const { v } = data as { v: number };
  if (v !== TRACE_VERSION) {
    return { problem: `a trace of version ${v}; this softiommu reads version ${TRACE_VERSION}` };
  }
  const read = headerSchema.safeParse(data);
  return read.success ? read.data : { problem: `the first line is damaged: ${firstIssue(read)}` };
}

/** An event; `last`: nothing follows this line, not even its end. */
export function readEvent(line: string, last: boolean): Stamped | LineProblem {
  const data = dataOf(line);
  if (data === undefined) {
    return {
      problem: last
        ? 'the trace is cut off here: the run was ended, or the disk was full'
        : 'the line is damaged: no JSON',
    };
  }
  const read = stampedSchema.safeParse(data);
  return read.success ? read.data : { problem: `the line is damaged: ${firstIssue(read)}` };
}

function dataOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
function firstIssue({ error }: { error?: { issues: readonly Issue[] } }): string {
  const [issue] = error?.issues ?? [];
  if (!issue) return 'it is no event';
  const place = issue.path.map(String).join('.');
  return `${place === '' ? '' : `${place}: `}${issue.message}`;
}
interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

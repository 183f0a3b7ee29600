/** From what a command line asks of a trace to where events go: a selection, then a view, a summary, or both. */
import type { LineForm, TraceChoice } from '../trace/choice.ts';
import { parseSelection, type ExpressionProblem, type Selection } from '../trace/expression.ts';
import type { TraceHeader } from '../trace/format.ts';
import { selected } from '../trace/select.ts';
import type { TraceSink } from '../trace/sink.ts';
import { dmesgView } from './dmesg.ts';
import { ftraceView } from './ftrace.ts';
import { jsonView } from './jsonl.ts';
import { summaryView } from './summary.ts';
import { textView, type Footnotes, type TextOptions } from './text.ts';

/** Where a view gets what it needs besides events. */
export interface ViewParts {
  readonly print: (line: string) => void;
  readonly header: TraceHeader;
  readonly footnotes?: Footnotes;
}

const VIEWS: Readonly<Record<LineForm, (parts: ViewParts, choice: TraceChoice) => TraceSink>> = {
  dmesg: ({ print }) => dmesgView(print),
  ftrace: ({ print, header }) => ftraceView(print, header),
  json: ({ print, header }) => jsonView(print, header),
  text: ({ print, ...parts }, choice) => textView(print, textOptions(parts, choice)),
};

/** What of a trace is shown; or which expression cannot be understood, and where. */
export function selectionOf(choice: TraceChoice): Selection | ExpressionProblem {
  const parsed = parseSelection(choice.expressions);
  if ('problem' in parsed) return parsed;
  const { status, paths } = choice;
  if (status !== undefined && parsed.status !== undefined) {
    return { problem: '-e status= is given with -z or -Z, which say the same' };
  }
  return { ...parsed, ...(status && { status }), paths };
}

/** A view of what was chosen. */
export function chosenView(
  form: LineForm,
  choice: TraceChoice,
  selection: Selection,
  parts: ViewParts,
): TraceSink {
  const { summary, sortBy } = choice;
  const views = [
    ...(summary === 'only' ? [] : [VIEWS[form](parts, choice)]),
    ...(summary ? [summaryView(parts.print, sortBy, choice.wallClock)] : []),
  ];
  return selected(selection, both(views));
}

function both(sinks: readonly TraceSink[]): TraceSink {
  if (sinks.length === 1) return sinks[0]!;
  return {
    take: (stamped) => sinks.forEach((sink) => sink.take(stamped)),
    flush: () => sinks.forEach((sink) => sink.flush()),
  };
}
function textOptions(
  { header, footnotes }: Omit<ViewParts, 'print'>,
  { times, spent, stacks, style }: TraceChoice,
): TextOptions {
  return {
    stacks,
    style,
    ...(footnotes && { footnotes }),
    ...(times && { times: { kind: times, startedUs: header.startedUs } }),
    spent,
  };
}

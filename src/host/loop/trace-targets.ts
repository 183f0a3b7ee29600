/** Where the trace of a run goes, and in which form: to its file or standard error, and to the trace of its report. */
import type { CallSites } from '../../insight/sites/call-site.ts';
import type { TraceChoice } from '../../insight/trace/choice.ts';
import type { TraceHeader } from '../../insight/trace/format.ts';
import { MACHINE_PART, perProcess } from '../../insight/trace/per-process.ts';
import type { TraceSink } from '../../insight/trace/sink.ts';
import type { KernelPlan } from '../launch/run.ts';
import { isJsonl, openTrace, TraceParts } from '../launch/trace-file.ts';
import { HostError } from '../sys/ffi.ts';
import type { TraceTarget } from './trace-files.ts';

const US_PER_MS = 1000;

/** Views are loaded for a run that is traced. */
export async function tracesOf(plan: KernelPlan): Promise<TraceTarget[]> {
  const { reportFd, trace } = plan;
  const traces: TraceTarget[] = [];
  if (trace === undefined && reportFd === undefined) return traces;
  const startedUs = Date.now() * US_PER_MS;
  const { argv: program, machine } = plan;
  const header: TraceHeader = { v: 1, trace: 'softiommu', startedUs, program, machine };
  if (trace !== undefined) {
    const view = await viewFor(plan, trace, header);
    traces.push({ name: 'the trace', view, ...openedFor(trace, plan.traceChoice) });
  }
  if (reportFd !== undefined) {
    const { reportView } = await import('../../insight/report/report-view.ts');
    const view: TraceTarget['view'] = (machine, { printTo }) =>
      reportView(machine, header, printTo());
    traces.push({ name: 'the trace of the report', fd: reportFd, view });
  }
  return traces;
}
function openedFor(
  trace: string,
  { perProcess: isSplit }: TraceChoice,
): Pick<TraceTarget, 'fd' | 'first' | 'open'> {
  if (!isSplit) return { fd: openTrace(trace) };
  const parts = new TraceParts(trace);
  const open = (part: string): number => parts.open(part);
  return { fd: open(MACHINE_PART), first: MACHINE_PART, open };
}
async function viewFor(
  { traceChoice }: KernelPlan,
  trace: string,
  header: TraceHeader,
): Promise<TraceTarget['view']> {
  const [{ chosenView, selectionOf }, { firstWalks }] = await Promise.all([
    import('../../insight/views/chosen-view.ts'),
    import('../../insight/views/walk.ts'),
  ]);
  const selection = selectionOf(traceChoice);
  if ('problem' in selection) throw new HostError(selection.problem);
  const form = isJsonl(trace) ? 'json' : 'text';
  if (traceChoice.perProcess && !isPlainFile(trace)) {
    throw new HostError(
      '-ff writes a file for each process: name one with -o FILE or --trace=FILE',
    );
  }
  return (machine, { sites, printTo }) => {
    const footnotes = firstWalks(machine);
    const { trace: stream } = machine.env;
    stream.dataBytes = Math.max(stream.dataBytes, traceChoice.style.shownBytes);
    const viewOf = (print: (line: string) => void): TraceSink =>
      chosenView(form, traceChoice, selection, { print, header, footnotes });
    const view = traceChoice.perProcess
      ? perProcess((part) => viewOf(printTo(part)))
      : viewOf(printTo());
    return traceChoice.stacks ? withStacks(sites, view) : view;
  };
}
function isPlainFile(trace: string): boolean {
  return trace !== '-' && !trace.startsWith('/dev/');
}
/** With each call the stack of its caller, as far as it can be seen. */
function withStacks(sites: CallSites, sink: TraceSink): TraceSink {
  return {
    take(stamped) {
      const { event } = stamped;
      const isCall = event.kind === 'leave' && event.what === 'syscall';
      const site = isCall ? sites.here() : undefined;
      sink.take(site ? { ...stamped, stack: site.frames } : stamped);
    },
    flush: () => sink.flush(),
  };
}

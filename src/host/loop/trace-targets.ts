/** Where the trace of a run goes, and in which form: to its file or standard error, and to the trace of its report. */
import { stackLines } from '../../insight/sites/site-text.ts';
import type { TraceHeader } from '../../insight/trace/format.ts';
import type { Footnotes } from '../../insight/views/text.ts';
import type { Machine } from '../../machine/machine.ts';
import type { KernelPlan } from '../launch/run.ts';
import { isJsonl, openTrace } from '../launch/trace-file.ts';
import { HostCallSites } from '../stacks/host-call-sites.ts';
import { HostError } from '../sys/ffi.ts';
import type { TraceTarget } from './run-machine.ts';

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
    traces.push({ name: 'the trace', fd: openTrace(trace), view });
  }
  if (reportFd !== undefined) {
    const { reportView } = await import('../../insight/report/report-view.ts');
    const view: TraceTarget['view'] = (built, print) => reportView(built, header, print);
    traces.push({ name: 'the trace of the report', fd: reportFd, view });
  }
  return traces;
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
  if (form === 'json' && traceChoice.stacks) {
    throw new HostError('-k is for a trace as text: JSON lines have no stacks');
  }
  return (built, print) => {
    const walks = firstWalks(built);
    const stacks = traceChoice.stacks ? callStacks(built) : undefined;
    const footnotes: Footnotes = stacks
      ? (stamped) => [...walks(stamped), ...stacks(stamped)]
      : walks;
    return chosenView(form, traceChoice, selection, { print, header, footnotes });
  };
}
/** Below each call the stack of its caller, as far as it can be seen. */
function callStacks(machine: Machine): Footnotes {
  const sites = new HostCallSites(machine.env);
  return ({ event }) => {
    if (event.kind !== 'leave' || event.what !== 'syscall') return [];
    const site = sites.here();
    return site ? stackLines(site) : [];
  };
}

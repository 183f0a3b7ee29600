/** What is tried on a program whose calls are known: every lawful failure of every call, and what its devices can do. */
import type { LawfulErrnos } from './lawful.ts';
import type { RecordedCall, RunRecord } from './run-record.ts';

/** Kinds of faults that are tried. */
export const TRIED_FAULTS = ['calls', 'devices'] as const;
export type TriedFaults = (typeof TRIED_FAULTS)[number];

/** One thing that goes wrong. */
export interface Trial {
  /** Of -e. */
  readonly expression: string;
  /** What it is done to: the name of a call, or a device. */
  readonly target: string;
  /** Its place among the calls of the run; undefined: it is no call. */
  readonly place?: number;
}

/** What no device that keeps the order of its bus does, such as an interrupt before its data, is not tried. */
const OF_TRANSFERS = ['drop', 'unplug'] as const;
const OF_INTERRUPTS = ['irq-drop', 'irq-delay=20ms', 'irq-duplicate'] as const;

/** What may go wrong. */
export interface Failures {
  readonly kinds: readonly TriedFaults[];
  readonly lawful: LawfulErrnos;
}

/** Single failures, in the order of the calls. `from`: of the calls from this place on. */
export function trialsOf(
  record: RunRecord,
  { kinds, lawful }: Failures,
  from = 0,
): readonly Trial[] {
  const calls = kinds.includes('calls') ? record.calls : [];
  return [
    ...calls.flatMap((call, n) => (n < from ? [] : trialsOfCall(call, n, lawful))),
    ...(kinds.includes('devices') ? trialsOfDevices(record) : []),
  ];
}
function trialsOfCall({ name, nth }: RecordedCall, place: number, lawful: LawfulErrnos): Trial[] {
  const at = `inject=${name}`;
  const which = `per=run:when=${nth}`;
  const trial = (how: string): Trial => ({
    expression: `${at}:${how}:${which}`,
    target: name,
    place,
  });
  return [
    ...lawful(name).map((errno) => trial(`error=${errno}`)),
    ...(SHORT.get(name) ?? []).map(trial),
  ];
}
/** Calls that can do less than they were asked, and say so in their argument. */
const SHORT: ReadonlyMap<string, readonly string[]> = new Map([
  ['VFIO_IOMMU_UNMAP_DMA', ['retval=0:field=size=0']],
]);

function trialsOfDevices({ devices }: RunRecord): Trial[] {
  return [...devices].flatMap(([target, { dma, interrupts }]) => {
    const faults = [...(dma ? OF_TRANSFERS : []), ...(interrupts ? OF_INTERRUPTS : [])];
    return faults.map((fault) => ({ expression: `device=${target}:${fault}:when=1`, target }));
  });
}

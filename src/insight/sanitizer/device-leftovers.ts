/** What a program has set up at a device and not undone when it closes it: interrupts, and page tables of PASIDs. */
import type { LeaveEvent } from '../../base/events.ts';
import { hasFlag, type CallArgs } from './call-args.ts';
import type { CallSite } from '../sites/call-site.ts';

/** Something that is left. */
export interface Leftover {
  /** 'interrupt 3 of VFIO_PCI_MSIX_IRQ_INDEX', 'PASID 5' */
  readonly what: string;
  readonly command: string;
  readonly site: CallSite | undefined;
}

/** What of a device is set up, by what it is called. */
type SetUp = Map<string, Leftover>;

/** What a call sets up and undoes, by name. */
interface Change {
  readonly sets: readonly string[];
  readonly undoes: (what: string) => boolean;
}
/** Commands whose place in the program is kept. */
export const SETTING_UP: Readonly<Record<string, (args: CallArgs) => Change>> = {
  VFIO_DEVICE_SET_IRQS: interrupts,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: (args) => ({
    sets: hasFlag(args, 'VFIO_DEVICE_ATTACH_PASID') ? [pasidOf(args)] : [],
    undoes: () => false,
  }),
  VFIO_DEVICE_DETACH_IOMMUFD_PT: (args) => ({
    sets: [],
    undoes: (what) => hasFlag(args, 'VFIO_DEVICE_DETACH_PASID') && what === pasidOf(args),
  }),
};

/** All devices of a run. */
export class DeviceLeftovers {
  readonly #devices = new Map<string, SetUp>();

  /** A call that succeeded. */
  did({ command = '', device, args }: LeaveEvent, site: CallSite | undefined): void {
    const change = device !== undefined && args ? SETTING_UP[command]?.(args) : undefined;
    if (!change || device === undefined) return;
    const own: SetUp = this.#devices.get(device) ?? new Map<string, Leftover>();
    this.#devices.set(device, own);
    for (const what of own.keys()) if (change.undoes(what)) own.delete(what);
    for (const what of change.sets) own.set(what, { what, command, site });
  }
  /** Its last user has closed it, and with that undone the rest. */
  closed(device: string): readonly Leftover[] {
    const own = this.#devices.get(device);
    this.#devices.delete(device);
    return [...(own?.values() ?? [])];
  }
}

function interrupts(args: CallArgs): Change {
  const [index, start, count] = [String(args['index']), Number(args['start']), args['count']];
  const none: Change = { sets: [], undoes: () => false };
  if (!hasFlag(args, 'VFIO_IRQ_SET_ACTION_TRIGGER')) return none;
  if (hasFlag(args, 'VFIO_IRQ_SET_DATA_NONE')) {
    return count === 0 ? { sets: [], undoes: (what) => what.endsWith(` of ${index}`) } : none;
  }
  // Of long lists the first entries are known.
  const { data } = args;
  if (!hasFlag(args, 'VFIO_IRQ_SET_DATA_EVENTFD') || !Array.isArray(data)) return none;
  const name = (n: number): string => `interrupt ${start + n} of ${index}`;
  const numbers = [...data.keys()];
  const without = new Set(numbers.filter((n) => Number(data[n]) < 0).map(name));
  return {
    sets: numbers.filter((n) => Number(data[n]) >= 0).map(name),
    undoes: (what) => without.has(what),
  };
}
function pasidOf({ pasid }: CallArgs): string {
  return `PASID ${String(pasid)}`;
}

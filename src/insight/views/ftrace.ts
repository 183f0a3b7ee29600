/**
 * The trace as the kernel's own tracer would have written it: its head, and the events of group `iommu`. What
 * reads trace files reads it. Times are those of the machine; there is one processor.
 */
import type {
  DriverCallEvent,
  FaultEvent,
  LifeEvent,
  MapEvent,
  Stamped,
  TraceEvent,
} from '../../base/events.ts';
import type { TraceHeader } from '../trace/format.ts';
import type { TraceSink } from '../trace/sink.ts';
import { bootTimeText } from './times.ts';

const COLUMNS = `#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |`;
/** A name of a process is cut to this, and so wide is the column. */
const COMM_LENGTH = 15;
const TASK_WIDTH = 16;
const UNKNOWN = '<...>';
const IDLE = '<idle>-0';
/** What a device has at boot if its description names no driver. */
const VFIO_DRIVER = 'vfio-pci';
const GROUP_EVENTS: Readonly<Record<string, string>> = {
  'group-add': 'add_device_to_group',
  'group-remove': 'remove_device_from_group',
};

/** Lines of a trace file; they are counted in its head, so all come at the end. */
export function ftraceView(print: (line: string) => void, header: TraceHeader): TraceSink {
  const lines: string[] = [];
  const drivers = driversAtBoot(header);
  const tasks = new Tasks();
  return {
    take(stamped) {
      tasks.see(stamped);
      noteDriver(stamped.event, drivers);
      for (const text of iommuEvents(stamped.event, drivers)) {
        lines.push(`${tasks.of(stamped)} [000] ..... ${bootTimeText(stamped.timeNs)}: ${text}`);
      }
    },
    flush() {
      print('# tracer: nop');
      print('#');
      print(`# entries-in-buffer/entries-written: ${lines.length}/${lines.length}   #P:1`);
      print('#');
      print(COLUMNS);
      for (const line of lines) print(line);
    },
  };
}

/** Who it is that runs: by the call an event happened in. */
class Tasks {
  readonly #comms = new Map<number, string>();
  readonly #callers = new Map<number, string>();

  see({ event, call, comm }: Stamped): void {
    if (call === undefined || event.kind !== 'enter') return;
    const { pid, tid = pid } = event;
    if (pid === undefined || tid === undefined) return;
    if (comm !== undefined) this.#comms.set(pid, comm.slice(0, COMM_LENGTH));
    this.#callers.set(call, `${this.#comms.get(pid) ?? UNKNOWN}-${tid}`);
  }
  /** 'COMM-PID', right-aligned up to the dash and left-aligned behind it. */
  of({ call = -1, event }: Stamped): string {
    const task = this.#callers.get(call) ?? IDLE;
    if (event.kind === 'leave') this.#callers.delete(call);
    const dash = task.lastIndexOf('-');
    const pid = task.slice(dash + 1);
    return `${task.slice(0, dash).padStart(TASK_WIDTH)}-${pid.padEnd(7)}`;
  }
}

/** Which driver each device has; of devices that came later it is heard. */
function driversAtBoot({ machine }: TraceHeader): Map<string, string> {
  const drivers = new Map<string, string>();
  const visit = (all: unknown): void => {
    for (const each of Array.isArray(all) ? all : []) {
      // cast: what a description has, or nothing
      const { at, driver = VFIO_DRIVER, devices } = each as Described;
      if (typeof at === 'string' && typeof driver === 'string') drivers.set(at, driver);
      visit(devices);
    }
  };
  visit('devices' in machine ? machine.devices : []);
  return drivers;
}
interface Described {
  readonly at?: unknown;
  readonly driver?: unknown;
  readonly devices?: unknown;
}
function noteDriver(event: TraceEvent, drivers: Map<string, string>): void {
  if (event.kind !== 'life') return;
  const { what, who, detail } = event;
  if (what === 'device-bind' && detail !== undefined) drivers.set(who.id, detail);
  if (what === 'device-unbind') drivers.delete(who.id);
}

type Drivers = ReadonlyMap<string, string>;
/** Those of the group that an event of ours is. */
function iommuEvents(event: TraceEvent, drivers: Drivers): string[] {
  if (event.kind === 'map' || event.kind === 'unmap') return [`${event.kind}: ${mapText(event)}`];
  if (event.kind === 'fault') return [`io_page_fault: ${faultText(event, drivers)}`];
  if (event.kind === 'driver') return attachTexts(event);
  return event.kind === 'life' ? groupTexts(event) : [];
}
function mapText({ kind, iova, pa = 0n, length, asked = length }: MapEvent): string {
  const range = `IOMMU: iova=0x${wide(iova)} - 0x${wide(iova + asked)}`;
  return kind === 'map'
    ? `${range} paddr=0x${wide(pa)} size=${length}`
    : `${range} size=${asked} unmapped_size=${length}`;
}
function faultText({ device, iova, write }: FaultEvent, drivers: Drivers): string {
  const name = `${drivers.get(device.id) ?? ''} ${device.id}`;
  return `IOMMU:${name} iova=0x${wide(iova)} flags=${write ? '0x0001' : '0x0000'}`;
}
function attachTexts({ op, result, device }: DriverCallEvent): string[] {
  if (op !== 'attach_dev' || result || !device) return [];
  return [`attach_device_to_domain: IOMMU: device=${device.id}`];
}
function groupTexts({ what, who, detail = '' }: LifeEvent): string[] {
  const name = GROUP_EVENTS[what];
  return name === undefined ? [] : [`${name}: IOMMU: groupID=${detail} device=${who.id}`];
}
function wide(address: bigint): string {
  return address.toString(16).padStart(16, '0');
}

/** What a trace can be asked for by name: system calls, commands, kinds of events, and classes of them. */
import { ALIASES } from '../call-names.ts';
import type { TraceEvent } from '../../base/events.ts';
import { COMMAND_NAMES } from '../../uapi/decode.ts';

const CALLS = ['close', 'ioctl', 'mmap', 'openat', 'pread64', 'pwrite64', 'read', 'write'];
const ACCESSES = ['load', 'store', 'timer'];
const KINDS: Readonly<Record<Exclude<TraceEvent['kind'], 'enter' | 'leave'>, true>> = {
  dma: true,
  driver: true,
  exit: true,
  fault: true,
  interrupt: true,
  invalidate: true,
  life: true,
  log: true,
  map: true,
  mmio: true,
  'object-born': true,
  'object-gone': true,
  'pages-lost': true,
  signal: true,
  sleep: true,
  unmap: true,
  warn: true,
};

const MAPPING = /^(IOMMU_IOAS_(MAP|MAP_FILE|COPY|UNMAP)|VFIO_IOMMU_(UN)?MAP_DMA)$/;

/** By name, without the `%`. */
const CLASSES: Readonly<Record<string, readonly string[]>> = {
  desc: ['close', 'ioctl', 'mmap', 'pread64', 'pwrite64', 'read', 'write'],
  dma: ['dma', 'fault'],
  file: ['openat'],
  iommufd: COMMAND_NAMES.filter((name) => name.startsWith('IOMMU_')),
  irq: ['interrupt', 'VFIO_DEVICE_SET_IRQS'],
  kernel: ['driver', 'invalidate', 'life', 'log', 'object-born', 'object-gone', 'warn'],
  map: ['map', 'unmap', ...COMMAND_NAMES.filter((name) => MAPPING.test(name))],
  memory: ['mmap', 'pages-lost'],
  mmio: ['load', 'mmio', 'store'],
  process: ['exit'],
  signal: ['signal'],
  vfio: COMMAND_NAMES.filter((name) => name.startsWith('VFIO_')),
};
/** For messages and help. */
export const CLASS_NAMES: readonly string[] = Object.keys(CLASSES);

const ALL: readonly string[] = [...CALLS, ...ACCESSES, ...Object.keys(KINDS), ...COMMAND_NAMES];

/** A name as the trace has it, an alias among them. Undefined: there is no such call, command or event. */
export function knownName(name: string): string | undefined {
  const known = ALIASES[name] ?? name;
  return ALL.includes(known) ? known : undefined;
}
/** What a class has, without its `%`. */
export function classNames(name: string): readonly string[] | undefined {
  return Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
}
/** The names an event goes by: of a call its own and that of its command. */
export function namesOf(event: TraceEvent): readonly string[] {
  if (event.kind !== 'enter' && event.kind !== 'leave') return [event.kind];
  return event.command === undefined ? [event.name] : [event.name, event.command];
}

/** The first translation of each device, shown level by level in a trace for people. */
import type { DmaEvent, FaultEvent } from '../../base/events.ts';
import { hex } from '../../base/u64.ts';
import type { Machine } from '../../machine/machine.ts';
import type { Footnotes } from './text.ts';

/** Lines once per device, after its first transfer that went through. */
export function firstWalks(machine: Machine): Footnotes {
  const shown = new Set<string>();
  return ({ event }) => {
    if (event.kind !== 'dma' || !event.ok || shown.has(event.device.id)) return [];
    shown.add(event.device.id);
    return walkLines(machine, event);
  };
}

/** How a device gets to an address by the tables as they are now, level by level. Empty where no unit is in the way. */
export function walkLines(
  machine: Machine,
  {
    device,
    pasid,
    iova,
    write,
  }: Pick<DmaEvent | FaultEvent, 'device' | 'pasid' | 'iova' | 'write'>,
): string[] {
  const port = machine.pci.device(device.id)?.slot.dma;
  if (!port?.unit) return [];
  const { tables, walk, pa } = port.unit.explain(port.requesterId, pasid ?? -1, iova, write);
  const lines = [`  how ${device.id} reached ${hex(iova)}:`];
  for (const table of tables) {
    lines.push(`      ${table.name} at ${hex(table.pa)}: ${table.meaning}`);
  }
  for (const step of walk) {
    const to = step.pa === undefined ? '' : ` -> ${hex(step.pa)}`;
    lines.push(
      `      level ${step.level}, entry ${step.index} at ${hex(step.entryPa)} = ${hex(step.entry)}: ${step.kind}${to}`,
    );
  }
  if (pa !== undefined) lines.push(`      = physical address ${hex(pa)}`);
  return lines;
}

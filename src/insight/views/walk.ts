/** The first translation of each device, shown level by level in a trace for people. */
import type { Stamped } from '../../base/trace.ts';
import { hex } from '../../base/u64.ts';
import type { Machine } from '../../machine/machine.ts';

/** A listener that prints once per device, after its first transfer that went through. */
export function firstWalks(machine: Machine, print: (line: string) => void): (s: Stamped) => void {
  const shown = new Set<string>();
  return ({ event }) => {
    if (event.kind !== 'dma' || !event.ok || shown.has(event.device)) return;
    shown.add(event.device);
    const port = machine.hardware.device(event.device)?.port;
    if (!port?.unit) return;
    const { tables, walk, pa } = port.unit.explain(
      port.requesterId,
      event.pasid ?? -1,
      event.iova,
      event.write,
    );
    print(`  how ${event.device} reached ${hex(event.iova)}:`);
    for (const table of tables) print(`      ${table.name} at ${hex(table.pa)}: ${table.meaning}`);
    for (const step of walk) {
      const to = step.pa === undefined ? '' : ` -> ${hex(step.pa)}`;
      print(
        `      level ${step.level}, entry ${step.index} at ${hex(step.entryPa)} = ${hex(step.entry)}: ${step.kind}${to}`,
      );
    }
    if (pa !== undefined) print(`      = physical address ${hex(pa)}`);
  };
}

/** Findings of what a program has left to the kernel to undo. */
import { hex } from '../../base/u64.ts';
import type { Leftover } from './device-leftovers.ts';
import type { Finding } from './finding.ts';
import type { LeftObject } from './left-objects.ts';
import type { MappingCall } from './mapping-call.ts';

/** What is said of it. */
export type Leak = Pick<Finding, 'about' | 'details' | 'places'>;

/** Mappings that were made at one place are one. */
export function leftMappings(mappings: readonly MappingCall[]): Leak[] {
  const bySite = new Map<unknown, MappingCall[]>();
  for (const call of mappings) {
    const key = call.site ?? call.command;
    bySite.set(key, [...(bySite.get(key) ?? []), call]);
  }
  return [...bySite.values()].map((calls) => {
    const bytes = calls.reduce((sum, { length }) => sum + length, 0n);
    const { command, site, iova } = calls[0]!;
    return {
      about: `of ${bytes} byte(s) in ${calls.length} mapping(s)`,
      details: [`the first is at iova ${hex(iova)}`],
      places: [{ title: `mapped by ${command} here:`, site }],
    };
  });
}
export function leftObjects(objects: readonly LeftObject[]): Leak[] {
  return objects.map(({ name, site }) => ({
    about: `of ${name.kind} ${name.id}`,
    details: ['it was destroyed by the close of its iommufd'],
    places: [{ title: 'allocated here:', site }],
  }));
}
export function leftAtDevice(setUp: readonly Leftover[]): Leak[] {
  return setUp.map(({ what, command, site }) => ({
    about: `of ${what}`,
    details: ['it was undone by the close of its device'],
    places: [{ title: `set up by ${command} here:`, site }],
  }));
}

/**
 * Does a function keep its requests from its peers (ACS)? IOMMU groups are the best witness, for a kernel knows of
 * hardware that isolates without saying so; then the capability. Undefined: nothing is known.
 */
import { slotOf, type FoundPlace } from './buses.ts';
import type { FoundFunction } from './found-function.ts';

/** The functions of the machine. */
export interface FoundNeighbours {
  readonly all: readonly FoundFunction[];
}

/** Undefined: nothing says so. */
export function isolates(place: FoundPlace, neighbours: FoundNeighbours): boolean | undefined {
  const { found } = place;
  const { pcie } = found.capabilities;
  const isPort =
    found.bridge !== undefined && ['root-port', 'downstream-port'].includes(pcie?.kind ?? '');
  const siblings = neighbours.all.filter(
    (other) => other !== found && slotOf(other.at) === slotOf(found.at) && !other.virtual,
  );
  if (!isPort && siblings.length === 0) return undefined;
  const peers = [...siblings, ...(isPort ? place.behind.map((each) => each.found) : [])];
  const grouped = byGroup(found, peers);
  if (grouped !== undefined) return grouped;
  if (found.capabilities.acs !== undefined) return found.capabilities.acs;
  const hasNone = pcie === undefined ? found.sees.capabilities : found.sees.extended;
  return hasNone ? false : undefined;
}

/** It is in no group with those that only isolation keeps out of it. */
function byGroup({ group }: FoundFunction, peers: readonly FoundFunction[]): boolean | undefined {
  const known = peers.filter((peer) => peer.group !== undefined);
  if (group === undefined || known.length === 0) return undefined;
  return known.every((peer) => peer.group !== group);
}

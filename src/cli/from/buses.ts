/**
 * Where the functions of a real machine stand: what is behind which bridge, and what cannot be said to stand anywhere.
 */
import type { FoundFunction } from './found-function.ts';

/** A function with what is behind it. */
export interface FoundPlace {
  readonly found: FoundFunction;
  readonly behind: readonly FoundPlace[];
}

/** A function that is in no description, and why. */
export interface LeftOut {
  readonly found: FoundFunction;
  readonly why: string;
}

/** A machine file has domains of 16 bits. */
const SHORT_ADDRESS = /^[0-9a-f]{4}:/;

/** The functions on the root buses, each with what is behind it, and those that have no place. */
export function busesOf(all: readonly FoundFunction[]): {
  readonly roots: readonly FoundPlace[];
  readonly leftOut: readonly LeftOut[];
} {
  const virtual = virtualFunctions(all);
  const leftOut: LeftOut[] = [];
  const standing = all.filter((found) => {
    const why = SHORT_ADDRESS.test(found.at)
      ? virtual.get(found.at)
      : 'a machine file has no domain of so many digits';
    if (why !== undefined) leftOut.push({ found, why });
    return why === undefined;
  });
  const bridges = new Map<string, FoundFunction>();
  for (const found of standing) {
    const bus = secondaryOf(found);
    if (bus !== undefined && !bridges.has(bus)) bridges.set(bus, found);
  }
  const behind = new Map<FoundFunction | undefined, FoundFunction[]>();
  for (const found of standing) {
    const above = bridges.get(busOf(found.at));
    if (above === undefined && standing.some((other) => covers(other, found))) {
      leftOut.push({ found, why: `no bridge here leads to its bus` });
      continue;
    }
    behind.set(above, [...(behind.get(above) ?? []), found]);
  }
  const placed = (above: FoundFunction | undefined): FoundPlace[] =>
    (behind.get(above) ?? []).map((found) => ({ found, behind: placed(found) }));
  return { roots: placed(undefined), leftOut };
}

/** '0000:01' */
export function busOf(at: string): string {
  return at.slice(0, at.lastIndexOf(':'));
}
/** '0000:01:00' */
export function slotOf(at: string): string {
  return at.slice(0, at.lastIndexOf('.'));
}

/** The number of a function on its bus: 0 to 255. */
export function functionOfBus(at: string): number {
  const [, device = '0', fn = '0'] = /:([0-9a-f]{2})\.([0-7])$/.exec(at) ?? [];
  return (parseInt(device, 16) << 3) | Number(fn);
}

function number(at: string, from: number, to?: number): number {
  return parseInt(at.slice(from, to), 16);
}
function busNumber(at: string): number {
  return number(busOf(at), -2);
}

/** The bus behind a bridge; a bridge that firmware gave none has a number that is not above its own. */
function secondaryOf({ at, bridge }: FoundFunction): string | undefined {
  if (!bridge || bridge.secondary <= busNumber(at)) return undefined;
  return `${at.slice(0, 5)}${bridge.secondary.toString(16).padStart(2, '0')}`;
}

/** Is the bus of a function one that a bridge has below itself? */
function covers({ at, bridge }: FoundFunction, below: FoundFunction): boolean {
  if (!bridge || at.slice(0, 5) !== below.at.slice(0, 5)) return false;
  const bus = busNumber(below.at);
  return bridge.secondary > busNumber(at) && bus >= bridge.secondary && bus <= bridge.subordinate;
}

/** Functions that a physical one has made, with whose they are (PCIe 9.2.1.2). */
function virtualFunctions(all: readonly FoundFunction[]): Map<string, string> {
  const out = new Map<string, string>();
  for (const { at, virtual } of all) {
    if (virtual) out.set(at, 'a virtual function: its physical one makes it');
  }
  const byRoutingId = new Map(all.map(({ at }) => [routingKey(at.slice(0, 5), routingId(at)), at]));
  for (const { at, capabilities } of all) {
    const { numVfs = 0, offset = 0, stride = 0 } = capabilities.sriov ?? {};
    for (let n = 0; n < Math.min(numVfs, 0x1_0000) && offset > 0; n++) {
      const vf = byRoutingId.get(routingKey(at.slice(0, 5), routingId(at) + offset + n * stride));
      if (vf !== undefined)
        out.set(vf, `a virtual function of ${at}, which makes it (sriov_numvfs)`);
    }
  }
  return out;
}

function routingId(at: string): number {
  return (busNumber(at) << 8) | functionOfBus(at);
}
function routingKey(domain: string, id: number): string {
  return `${domain}${id}`;
}

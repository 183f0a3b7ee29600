import { expect, test } from 'vitest';
import { dmaAliases, requesterIdAtRoot } from './alias.ts';
import { bdf, PciBus, type PciFunction, type PciFunctionConfig } from './topology.ts';

/** A function 02:01.0 behind a bridge 01:00.0, which is behind a root port 00:01.0. */
function behind(bridge: Partial<PciFunctionConfig>, fn: Partial<PciFunctionConfig> = {}) {
  const root = new PciBus({ number: 0 });
  const port = root.add({ slot: 1, type: 'root-port' });
  const above = new PciBus({ number: 1, bridge: port });
  const top = above.add({ slot: 0, type: 'pcie-to-pci-bridge', ...bridge });
  return new PciBus({ number: 2, bridge: top }).add({ slot: 1, type: 'pci', ...fn });
}
/** The same in the place of another function, as a VMD has it. */
function standIn(): PciFunction {
  const root = new PciBus({ number: 0 });
  const realDmaDevice = root.add({ slot: 3, type: 'endpoint' });
  const own = new PciBus({ segment: 1, number: 0 });
  return own.add({ slot: 0, type: 'endpoint', realDmaDevice });
}
function virtualFunction(): PciFunction {
  const root = new PciBus({ number: 0 });
  const physfn = root.add({ slot: 4, type: 'endpoint' });
  return new PciBus({ number: 1, parent: root }).add({ slot: 0, type: 'endpoint', physfn });
}

test.for<[what: string, fn: PciFunction, aliases: string[], atRoot: string]>([
  [
    'ports add nothing',
    behind({ type: 'upstream-port' }, { type: 'endpoint' }),
    ['02:01.0'],
    '02:01.0',
  ],
  [
    'a PCIe-to-PCI bridge sends as 0.0 of the bus below',
    behind({}),
    ['02:01.0', '02:00.0'],
    '02:00.0',
  ],
  ['unless it passes requester ids on', behind({ noAlias: true }), ['02:01.0'], '02:01.0'],
  ['or translation happens below it', behind({ translationRoot: true }), ['02:01.0'], '02:01.0'],
  [
    'a PCI-to-PCIe bridge sends as itself',
    behind({ type: 'pci-to-pcie-bridge' }),
    ['02:01.0', '01:00.0'],
    '01:00.0',
  ],
  ['a conventional bridge too', behind({ type: 'pci-bridge' }), ['02:01.0', '01:00.0'], '01:00.0'],
  [
    'unless it is known to do as a PCIe-to-PCI bridge',
    behind({ type: 'pci-bridge', aliasLikePcieBridge: true }),
    ['02:01.0', '02:00.0'],
    '02:00.0',
  ],
  [
    'devfns the function uses besides come before those of bridges',
    behind({}, { aliasDevfns: [0x11] }),
    ['02:01.0', '02:02.1', '02:00.0'],
    '02:00.0',
  ],
  ['another function does the DMA', standIn(), ['00:03.0'], '00:03.0'],
  ['a bus of virtual functions has no bridge', virtualFunction(), ['01:00.0'], '01:00.0'],
])('a device has the aliases of its place: %s', ([, fn, aliases, atRoot]) => {
  expect(dmaAliases(fn).map(({ requesterId }) => bdf(requesterId))).toEqual(aliases);
  expect(bdf(requesterIdAtRoot(fn))).toBe(atRoot);
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { must } from '../testing/base/must.ts';
import { EINVAL } from '../base/errno.ts';
import { KernelEnv } from '../base/kernel-env.ts';
import { Device } from '../core/contract/device.ts';
import { groupAddDevice } from '../core/group/group-ops.ts';
import { IommuCore } from '../core/contract/iommu-core.ts';
import { REQ_ACS_FLAGS } from '../pci/acs.ts';
import { PciBus, type PciFunction, type PciFunctionConfig } from '../pci/topology.ts';
import { Ram } from '../pt/ram.ts';
import { createPciGrouping } from './pci-group.ts';

const ACS_ON = { capability: REQ_ACS_FLAGS, control: REQ_ACS_FLAGS };
const ACS_OFF = { capability: REQ_ACS_FLAGS, control: 0 };

/** Groups found when the functions are discovered in this order, as sorted lists of names. */
function partition(order: readonly PciFunction[]): string[][] {
  const core = new IommuCore(new KernelEnv(), new Ram(8192));
  const grouping = createPciGrouping();
  const groups = new Map<object, string[]>();
  for (const fn of order) {
    const dev = new Device(core, { name: fn.name, bus: 'pci' });
    grouping.bind(dev, fn);
    const group = must(grouping.deviceGroup(dev));
    expect(groupAddDevice(group, dev)).toBeUndefined();
    groups.set(group, [...(groups.get(group) ?? []), fn.name.slice(5)]);
  }
  return [...groups.values()].map((names) => names.sort()).sort();
}

function root(): PciBus {
  return new PciBus({ number: 0 });
}
function below(bridge: PciFunction, number: number): PciBus {
  return new PciBus({ number, bridge });
}

type Build = () => PciFunction[];

function endpoint(slot: number, more: Partial<PciFunctionConfig> = {}): PciFunctionConfig {
  return { slot, type: 'endpoint', ...more };
}

const TOPOLOGIES: [string, Build, string[][]][] = [
  [
    'two endpoints on the root bus are apart',
    () => {
      const bus = root();
      return [bus.add(endpoint(1)), bus.add(endpoint(2))];
    },
    [['00:01.0'], ['00:02.0']],
  ],
  [
    'functions of an endpoint without ACS are one group',
    () => {
      const bus = root();
      return [0, 1, 2].map((func) => bus.add(endpoint(3, { func, multifunction: true })));
    },
    [['00:03.0', '00:03.1', '00:03.2']],
  ],
  [
    'functions of an endpoint with ACS are apart',
    () => {
      const bus = root();
      return [0, 1].map((func) => bus.add(endpoint(3, { func, multifunction: true, acs: ACS_ON })));
    },
    [['00:03.0'], ['00:03.1']],
  ],
  [
    'a quirk that says isolated counts like ACS',
    () => {
      const bus = root();
      return [0, 1].map((func) =>
        bus.add(endpoint(3, { func, multifunction: true, acsQuirk: 'enabled' })),
      );
    },
    [['00:03.0'], ['00:03.1']],
  ],
  [
    'flags an ACS capability does not offer count as wired on',
    () => {
      const bus = root();
      const acs = { capability: 0, control: 0 };
      return [0, 1].map((func) => bus.add(endpoint(3, { func, multifunction: true, acs })));
    },
    [['00:03.0'], ['00:03.1']],
  ],
  [
    'endpoints behind root ports with ACS are apart',
    () => {
      const bus = root();
      const ports = [1, 2].map((slot) => bus.add({ slot, type: 'root-port', acs: ACS_ON }));
      return [...ports, ...ports.map((port, n) => below(port, n + 1).add(endpoint(0)))];
    },
    [['00:01.0'], ['00:02.0'], ['01:00.0'], ['02:00.0']],
  ],
  [
    'a root port with ACS switched off joins what is below it',
    () => {
      const port = root().add({ slot: 1, type: 'root-port', acs: ACS_OFF });
      return [port, below(port, 1).add(endpoint(0))];
    },
    [['00:01.0', '01:00.0']],
  ],
  [
    'a downstream port that lacks ACS is merged with everything below it',
    () => switchTopology({}),
    // The walk only looks up: ports in slots of their own do not see each other (core.md 2.3, "current algorithm").
    [['00:01.0'], ['01:00.0'], ['02:00.0', '03:00.0'], ['02:01.0', '04:00.0']],
  ],
  [
    'a switch whose downstream ports are functions without ACS merges everything below',
    () => switchTopology({ multifunction: true }),
    [['00:01.0'], ['01:00.0'], ['02:00.0', '02:00.1', '03:00.0', '04:00.0']],
  ],
  [
    'a switch below a root port without ACS is one group',
    () => switchTopology({}, {}),
    [['00:01.0', '01:00.0', '02:00.0', '02:01.0', '03:00.0', '04:00.0']],
  ],
  [
    'a switch with ACS keeps its endpoints apart',
    () => switchTopology({ acs: ACS_ON }),
    [['00:01.0'], ['01:00.0'], ['02:00.0'], ['02:01.0'], ['03:00.0'], ['04:00.0']],
  ],
  [
    'everything behind a PCIe-to-PCI bridge shares a group with the bridge',
    () => pcieToPci({}),
    [['00:01.0'], ['01:00.0', '02:01.0', '02:02.0']],
  ],
  [
    'a PCIe-to-PCI bridge that passes requester ids still lacks ACS',
    () => pcieToPci({ noAlias: true }),
    [['00:01.0'], ['01:00.0', '02:01.0', '02:02.0']],
  ],
  [
    'VFs never fail the multifunction test',
    () => {
      const bus = root();
      const physfn = bus.add(endpoint(1));
      const vfBus = new PciBus({ number: 1, parent: bus });
      const vfs = [0, 1].map((func) =>
        vfBus.add(endpoint(0, { func, multifunction: true, physfn })),
      );
      return [physfn, ...vfs];
    },
    [['00:01.0'], ['01:00.0'], ['01:00.1']],
  ],
  [
    'a function that sends under the id of another shares its group',
    () => {
      const bus = root();
      return [bus.add(endpoint(1)), bus.add(endpoint(2, { aliasDevfns: [1 << 3] }))];
    },
    [['00:01.0', '00:02.0']],
  ],
  [
    'a device behind a VMD joins the real DMA device',
    () => {
      const bus = root();
      const vmd = bus.add(endpoint(14));
      const other = new PciBus({ segment: 1, number: 0 });
      return [vmd, other.add(endpoint(1, { realDmaDevice: vmd }))];
    },
    [['00:01.0', '00:0e.0']],
  ],
  [
    'a bridge that is the translation root hides what is above',
    () => {
      const port = root().add({
        slot: 1,
        type: 'pcie-to-pci-bridge',
        translationRoot: true,
        acsQuirk: 'enabled',
      });
      const bus = below(port, 1);
      return [port, bus.add({ slot: 1, type: 'pci' }), bus.add({ slot: 2, type: 'pci' })];
    },
    [['00:01.0'], ['01:01.0'], ['01:02.0']],
  ],
];

type Features = Pick<PciFunctionConfig, 'acs' | 'multifunction'>;

function switchTopology(ports: Features, rootPort: Features = { acs: ACS_ON }): PciFunction[] {
  const port = root().add({ slot: 1, type: 'root-port', ...rootPort });
  const upstream = below(port, 1).add({ slot: 0, type: 'upstream-port' });
  const inner = below(upstream, 2);
  const places = ports.multifunction ? [{ func: 0 }, { func: 1 }] : [{}, { slot: 1 }];
  const down = places.map((at) => inner.add({ slot: 0, type: 'downstream-port', ...ports, ...at }));
  const leaves = down.map((bridge, n) => below(bridge, 3 + n).add(endpoint(0)));
  return [port, upstream, ...down, ...leaves];
}

function pcieToPci(quirk: Partial<PciFunctionConfig>): PciFunction[] {
  const port = root().add({ slot: 1, type: 'root-port', acs: ACS_ON });
  const bridge = below(port, 1).add({ slot: 0, type: 'pcie-to-pci-bridge', ...quirk });
  const bus = below(bridge, 2);
  return [port, bridge, bus.add({ slot: 1, type: 'pci' }), bus.add({ slot: 2, type: 'pci' })];
}

describe('grouping of PCI devices', () => {
  it.each(TOPOLOGIES)('PCI devices are grouped: %s', (_name, build, expected) => {
    expect(partition(build())).toEqual(expected);
  });

  it('grouping refuses a device that is not on PCI with EINVAL, and warns', () => {
    const core = new IommuCore(new KernelEnv(), new Ram(8192));
    const dev = new Device(core, { name: 'platform0', bus: 'platform' });
    expect(createPciGrouping().deviceGroup(dev)).toBe(EINVAL);
    expect(core.env.warnings).toEqual(['device-group-not-pci']);
  });
});

/** A random tree: each number picks where to hang the next function and what it is. */
function randomTree(picks: readonly number[]): PciFunction[] {
  const buses = [root()];
  const functions: PciFunction[] = [];
  const slots = new Map<PciBus, number>();
  for (const pick of picks) {
    const bus = buses[pick % buses.length]!;
    const slot = slots.get(bus) ?? 0;
    slots.set(bus, slot + 1);
    const acs = [{}, { acs: ACS_ON }, { acs: ACS_OFF }][(pick >> 4) % 3]!;
    const kind = (pick >> 8) % 6;
    if (kind < 3) {
      const func = (pick >> 12) % 3;
      const config = { ...acs, multifunction: func > 0 };
      functions.push(bus.add(endpoint(slot, config)));
      for (let n = 1; n <= func; n++)
        functions.push(bus.add(endpoint(slot, { ...config, func: n })));
      continue;
    }
    const type = bus.isRoot
      ? (['root-port', 'root-port', 'pcie-to-pci-bridge'] as const)[kind - 3]!
      : (['upstream-port', 'downstream-port', 'pcie-to-pci-bridge'] as const)[kind - 3]!;
    const bridge = bus.add({ slot, type, ...acs });
    functions.push(bridge);
    buses.push(below(bridge, buses.length));
  }
  return functions;
}

describe('the order of discovery', () => {
  it('the order of discovery never changes the partition', () => {
    const picks = fc.array(fc.nat(0xffff), { minLength: 2, maxLength: 9 });
    fc.assert(
      fc.property(picks, fc.array(fc.nat(1000), { minLength: 30, maxLength: 30 }), (tree, keys) => {
        const functions = randomTree(tree);
        const shuffled = functions
          .map((fn, n) => ({ fn, key: keys[n % keys.length]! * 100 + n }))
          .sort((a, b) => a.key - b.key)
          .map(({ fn }) => fn);
        expect(partition(shuffled)).toEqual(partition(functions));
      }),
      { numRuns: 300 },
    );
  });
});

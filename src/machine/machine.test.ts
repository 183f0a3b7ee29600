import { describe, expect, test } from 'vitest';
import { Bug } from '../base/bug.ts';
import { EFAULT, EIO } from '../base/errno.ts';
import { must } from '../testing/base/must.ts';
import { domainFree, groupGet, iommuMap, pagingDomainAlloc } from '../core/index.ts';
import {
  attachGroup,
  detachGroup,
  deviceClaimDmaOwner,
  deviceReleaseDmaOwner,
} from '../core/index.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../pt/page-table.ts';
import { PCI_COMMAND, PCI_COMMAND_MASTER } from '../uapi/pci-regs.ts';
import type { MachineInput } from './description/description.ts';
import { createMachine } from './create-machine.ts';
import { Machine } from './machine.ts';
import type { PciDev } from './kernel/pci-dev.ts';
import { PRESETS } from './description/presets.ts';

function build(input: MachineInput): Machine {
  const made = createMachine(input);
  if ('problems' in made) throw new Bug(made.problems.map((p) => p.message).join('; '));
  return made.machine;
}
/** Group ids as lists of the devices in them. */
function groupsOf(machine: Machine): string[][] {
  return [...machine.core.groups.entries()].map(([, group]) =>
    group.devices.map((member) => member.name).sort(),
  );
}

const GROUPS: Readonly<Record<string, string[][]>> = {
  default: [['0000:00:04.0']],
  'direct-mapped': [['0000:00:04.0']],
  laptop: [
    ['0000:00:02.0'],
    ['0000:00:14.0'],
    ['0000:00:1c.0'],
    ['0000:00:1d.0'],
    ['0000:01:00.0'],
    ['0000:02:00.0'],
  ],
  mock: [['0000:00:04.0']],
  multifunction: [['0000:00:01.0'], ['0000:01:00.0', '0000:01:00.1']],
  'narrow-39-bit': [['0000:00:04.0']],
  noiommu: [['0000:00:04.0']],
  'not-viable': [['0000:00:01.0'], ['0000:01:00.0', '0000:01:00.1']],
  'pcie-to-pci-bridge': [['0000:00:01.0'], ['0000:01:00.0', '0000:02:04.0', '0000:02:05.0']],
  server: [
    ['0000:00:01.0'],
    ['0000:00:04.0'],
    ['0000:80:01.0'],
    ['0000:80:04.0'],
    ['0000:01:00.0'],
    ['0000:81:00.0'],
  ],
  sriov: [['0000:00:01.0'], ['0000:01:00.0'], ['0000:01:10.0'], ['0000:01:10.1']],
  'sriov-nic': [['0000:00:01.0'], ['0000:01:00.0']],
  storage: [
    ['0000:00:01.0'],
    ['0000:01:00.0'],
    ['0000:02:00.0'],
    ['0000:02:01.0'],
    ['0000:02:02.0'],
    ['0000:02:03.0'],
    ['0000:03:00.0'],
    ['0000:04:00.0'],
    ['0000:05:00.0'],
    ['0000:06:00.0'],
  ],
  'switch-without-acs': [
    [
      '0000:00:01.0',
      '0000:01:00.0',
      '0000:02:00.0',
      '0000:02:01.0',
      '0000:03:00.0',
      '0000:04:00.0',
    ],
  ],
  'two-drivers': [['0000:00:04.0'], ['0000:00:05.0']],
  'two-iommus': [['0000:00:04.0'], ['0000:00:05.0']],
  workstation: [
    ['0000:00:01.0'],
    ['0000:00:1b.0'],
    ['0000:00:1c.0'],
    ['0000:01:00.0', '0000:01:00.1'],
    ['0000:02:00.0'],
    ['0000:03:00.0'],
  ],
};

describe('presets', () => {
  test('each preset has its groups written down here', () => {
    expect(Object.keys(PRESETS).sort()).toEqual(Object.keys(GROUPS).sort());
  });
  test.for(Object.keys(PRESETS))(
    '%s comes up with its groups, and goes without a trace',
    (name) => {
      const machine = build(PRESETS[name]!.machine);
      expect(groupsOf(machine)).toEqual(GROUPS[name]);
      expect(machine.env.warnings).toEqual([]);
      machine.close();
      expect(machine.memory.pinTotal).toBe(0);
      expect([...machine.core.groups.entries()]).toEqual([]);
    },
  );
  test('two machines of one description are equal, and stay so', () => {
    const [a, b] = [build(PRESETS['sriov']!.machine), build(PRESETS['sriov']!.machine)];
    expect(a.stateDigest()).toBe(b.stateDigest());
  });
});

/** Attach the group of a device to a domain of its own and let it write through it. */
function dmaThroughDomain(machine: Machine, pci: PciDev): Uint8Array {
  const domain = must(pagingDomainAlloc(pci.dev));
  const group = pci.dev.iommuGroup!;
  const frame = must(machine.ram.alloc());
  expect(deviceClaimDmaOwner(pci.dev, machine)).toBeUndefined();
  expect(attachGroup(domain, group)).toBeUndefined();
  const prot = IOMMU_READ | IOMMU_WRITE;
  expect(iommuMap(domain, 0x200_0000n, BigInt(frame) << 12n, 4096n, prot)).toBeUndefined();
  pci.fn.writeConfig(PCI_COMMAND, 2, pci.fn.command | PCI_COMMAND_MASTER);
  expect(pci.slot.dma.write(0x200_0010n, Uint8Array.of(1, 2, 3))).toBeUndefined();
  expect(pci.slot.dma.write(0x200_1000n, Uint8Array.of(1))).toBe(EFAULT);
  const seen = machine.ram.bytes.slice(frame * 4096 + 16, frame * 4096 + 19);
  detachGroup(domain, group);
  deviceReleaseDmaOwner(pci.dev);
  domainFree(domain);
  machine.ram.free(frame);
  return seen;
}

describe('DMA', () => {
  const translated = Object.keys(PRESETS).filter(
    (name) => !['noiommu', 'not-viable', 'direct-mapped'].includes(name),
  );
  test.for(translated)(
    '%s: every user device reaches by DMA what its domain maps, and nothing else',
    (name) => {
      const machine = build(PRESETS[name]!.machine);
      for (const pci of machine.pci.devices()) {
        if (pci.driver?.name !== 'vfio-pci') continue;
        expect([...dmaThroughDomain(machine, pci)]).toEqual([1, 2, 3]);
      }
      machine.close();
    },
  );
  test('without an IOMMU addresses are physical', () => {
    const machine = build(PRESETS['noiommu']!.machine);
    const pci = machine.pci.device('0000:00:04.0')!;
    pci.fn.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    const frame = must(machine.ram.alloc());
    expect(pci.slot.dma.write(BigInt(frame) << 12n, Uint8Array.of(9))).toBeUndefined();
    expect(machine.ram.bytes[frame * 4096]).toBe(9);
    expect(pci.slot.dma.read(0x7fff_ffff_0000n, new Uint8Array(4))).toBe(EFAULT);
  });
  test('a function that is not bus master has every transfer refused', () => {
    const machine = build(PRESETS['noiommu']!.machine);
    const pci = machine.pci.device('0000:00:04.0')!;
    expect(pci.slot.dma.write(0x1000n, Uint8Array.of(9))).toBe(EFAULT);
  });
  test('the interrupt window takes aligned 4-byte writes only', () => {
    const machine = build(PRESETS['noiommu']!.machine);
    const pci = machine.pci.device('0000:00:04.0')!;
    pci.fn.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    expect(pci.slot.dma.read(0xfee0_0000n, new Uint8Array(4))).toBe(EFAULT);
    expect(pci.slot.dma.write(0xfee0_0002n, new Uint8Array(4))).toBe(EFAULT);
    expect(pci.slot.dma.write(0xfee0_0000n, new Uint8Array(8))).toBe(EFAULT);
    expect(pci.slot.dma.write(0xfee0_0000n, new Uint8Array(4))).toBeUndefined();
  });
  test('one device can write the registers of another', () => {
    const machine = build({
      iommus: [],
      devices: [
        { type: 'edu', at: '0000:00:04.0', driver: 'none' },
        { type: 'edu', at: '0000:00:05.0', driver: 'none' },
      ],
    });
    const [from, to] = machine.pci.devices();
    from!.fn.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    const bar = BigInt(to!.fn.bars[0]!.address);
    expect(from!.slot.dma.write(bar + 4n, Uint8Array.of(1, 0, 0, 0))).toBeUndefined();
    expect(to!.fn.bars[0]!.window.load(4, 4)).toBe(0xffff_fffen);
  });
});

describe('a Bug in a call', () => {
  test('a Bug in a call answers EIO, is reported with the call, and taints the machine', () => {
    const told: string[] = [];
    const machine = new Machine(undefined, { onBug: ({ message }) => void told.push(message) });
    const logged: string[] = [];
    using _ = machine.env.trace.listen(({ event }) => {
      if (event.kind === 'log') logged.push(event.text);
    });
    using held = machine.core.probeLock.hold();
    const answer = machine.guard.run(
      () => 'ioctl(/dev/iommu)',
      () => {
        throw new Bug('impossible');
      },
    );
    expect(answer).toBe(EIO);
    expect(machine.env.tainted).toBe(true);
    expect(machine.guard.reports[0]).toMatchObject({
      during: 'ioctl(/dev/iommu)',
      message: 'impossible',
      locksAbandoned: ['iommu_probe_device_lock'],
    });
    expect(told).toEqual(['impossible']);
    expect(logged).toEqual(['BUG in ioctl(/dev/iommu): impossible']);
    expect(() => machine.assertIdle()).toThrow('Bug in ioctl(/dev/iommu)');
    expect(machine.core.probeLock.isHeld).toBe(false);
    // The abandoned lock is given back so that `using` finds it.
    machine.core.probeLock.hold();
    expect(held).toBe(machine.core.probeLock);
  });
  test('a Bug in a timer is reported too', () => {
    const machine = new Machine();
    machine.env.clock.after(5, () => {
      throw new Bug('late');
    });
    expect(machine.advanceTo(10)).toBe(EIO);
    expect(machine.guard.reports[0]!.during).toBe('a timer');
  });
});

test('what is left over is named, and close() refuses to overlook it', () => {
  const machine = new Machine();
  const program = machine.program();
  const fd = must(program.open('/dev/vfio/vfio'));
  expect(machine.leftovers()).toEqual([`program ${program.pid} has 1 open files`]);
  expect(() => machine.assertIdle()).toThrow(Bug);
  expect(program.close(fd)).toBeUndefined();
  expect(machine.leftovers()).toEqual([]);
});

test('a domain or a group that outlives every device is a leak, and named', () => {
  const machine = new Machine();
  const dev = machine.core.buses.get('pci')!.find((one) => one.name === '0000:00:04.0')!;
  const domain = must(pagingDomainAlloc(dev));
  groupGet(dev);
  expect(() => machine.close()).toThrow(
    `leaked: ${domain.name} of driver intel, group 0 (1 references)`,
  );
});

test('the driver of one IOMMU switches nothing in a function of another that has the same requester id', () => {
  const portOf = (segment: string, iommu: string) => ({
    ...{ type: 'root-port', at: `${segment}:00:01.0`, iommu },
    devices: [{ type: 'generic', at: `${segment}:01:00.0`, options: { ats: true } }],
  });
  const machine = build({
    iommus: [
      { type: 'intel', name: 'a' },
      { type: 'intel', name: 'b' },
    ],
    devices: [portOf('0000', 'a'), portOf('0001', 'b')],
  });
  const [one, two] = ['0000:01:00.0', '0001:01:00.0'].map((at) => machine.pci.device(at)!);
  expect([one!.fn.atsEnabled, two!.fn.atsEnabled]).toEqual([true, true]);
  expect(machine.pci.remove(one!)).toBeUndefined();
  expect([one!.fn.atsEnabled, two!.fn.atsEnabled]).toEqual([false, true]);
});

/** Class, vendor and device of every function that a driver of its own kind has. */
const CARDS: readonly (readonly [preset: string, at: string, driver: string, ids: string])[] = [
  ['not-viable', '0000:01:00.1', 'e1000e', '020000 8086:10d3'],
  ['sriov', '0000:01:00.0', 'igb', '020000 8086:10c9'],
  ['sriov', '0000:01:10.0', 'vfio-pci', '020000 8086:10ca'],
];
const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
test.for(CARDS)('preset %s has a network card at %s, for %s', ([preset, at, driver, ids]) => {
  const pci = build(PRESETS[preset]!.machine).pci.device(at)!;
  const { classCode, device, vendor } = pci.fn.identity;
  const said = `${hex(classCode, 6)} ${hex(vendor, 4)}:${hex(device, 4)}`;
  expect([pci.driver?.name, said]).toEqual([driver, ids]);
});
test('what stands for nothing has ids of no other kind of device', () => {
  const machine = build({ devices: [{ type: 'generic', at: '0000:00:04.0' }] });
  const { classCode, device, vendor } = machine.pci.device('0000:00:04.0')!.fn.identity;
  expect([classCode, vendor, device]).toEqual([0x00ff00, 0x1b36, 0x0005]);
});

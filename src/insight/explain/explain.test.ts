import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Client, EDU, machineOf } from '../../testing/machine/client.ts';
import { must } from '../../testing/base/must.ts';
import type { MachineInput } from '../../machine/description/description.ts';
import * as uapi from '../../uapi/vfio.ts';
import { TOLD_BY_FAULT, TroubleJournal } from './journal.ts';
import { NOTED_RULES } from './notes.ts';
import { explanation } from './report.ts';

const CONFIG = 7n << 40n;
const MAPPED = 0x10_0000n;

/** What became of each call: the journal is what is looked at. */
const answers: unknown[] = [];
/** A program, and what is remembered of its troubles. */
class Explained extends Client {
  readonly journal: TroubleJournal;
  readonly bdf: string;

  constructor(input: MachineInput | string = 'default', bdf = EDU) {
    super(machineOf(input));
    this.bdf = bdf;
    this.journal = new TroubleJournal(this.machine);
    this.machine.env.trace.listenToTroubles(this.journal.take);
  }
  /** The device, its bus mastering switched on, and a container with a mapping of 4 pages. */
  start(): { container: number; device: number } {
    const { c, d } = this.device(uapi.VFIO_TYPE1v2_IOMMU, this.bdf);
    must(this.map(c, { vaddr: this.memory(0x4000), iova: MAPPED, size: 0x4000n }));
    this.command(d, 6);
    return { container: c, device: d };
  }
  /** As a device model asks for it. */
  dma(iova: bigint): void {
    answers.push(this.machine.pci.device(this.bdf)!.slot.dma.write(iova, new Uint8Array(4)));
  }
  command(device: number, value: number): void {
    must(this.pwrite(device, CONFIG + 4n, Uint8Array.of(value, 0)));
  }
  /** Where the register of the power management capability is. */
  pmcsr(device: number): bigint {
    const byte = (at: number): number => must(this.pread(device, CONFIG + BigInt(at), 1))[0]!;
    let at = byte(0x34);
    while (byte(at) !== 1) at = byte(at + 1);
    return BigInt(at + 4);
  }
  get lines(): string[] {
    return explanation(this.journal).map((line) => line.replace(/\[pid +\d+\] /, '').trim());
  }
}

test('nothing is said where everything worked', () => {
  const program = new Explained();
  program.start();
  program.dma(MAPPED);
  expect(program.lines).toEqual([]);
});

test('the call that failed last comes first, each kind once, with its rule and values', () => {
  const program = new Explained();
  const { container } = program.start();
  const again = { vaddr: program.memory(0x1000), iova: MAPPED, size: 0x1000n };
  answers.push(program.map(container, { ...again, iova: 0x123n }));
  for (let n = 0; n < 3; n++) answers.push(program.map(container, again));
  const [first, rule, second] = program.lines;
  expect(first).toMatch(
    /^1\. ioctl\(\d+<\/dev\/vfio\/vfio>, VFIO_IOMMU_MAP_DMA, \{.*iova=0x100000.*\) = -1 EEXIST \(File exists\), 3 times$/,
  );
  expect(rule).toMatch(/^the range overlaps a mapping/);
  expect(second).toMatch(/^2\. .*iova=0x123.* = -1 EINVAL \(Invalid argument\)$/);
});

test('what fails while a program gives up, or asks what there is, comes last', () => {
  const program = new Explained();
  const container = must(program.open('/dev/vfio/vfio'));
  answers.push(program.map(container, { iova: MAPPED, size: 0x1000n }));
  answers.push(program.unmap(container, { iova: 1n, size: 1n }).rc);
  answers.push(program.plain(program.group(), 0x3bff));
  const calls = program.lines.filter((line) => /^\d/.test(line));
  expect(calls.map((line) => /, (\w+)/.exec(line)![1])).toEqual([
    'VFIO_IOMMU_MAP_DMA',
    'VFIO_IOMMU_UNMAP_DMA',
    '0x3bff',
  ]);
  expect(program.lines[1]).toBe('the container has no IOMMU type yet (cmd=0x3b71)');
  expect(program.lines[2]).toMatch(/^the order is: VFIO_GROUP_SET_CONTAINER/);
});

describe('DMA', () => {
  test.each<[string, bigint, string]>([
    [
      'behind the end of a mapping',
      MAPPED + 0x4000n,
      'nothing is mapped at 0x104000: the last mapped byte before it is 0x103fff',
    ],
    [
      'before the start of a mapping',
      MAPPED - 0x2000n,
      'nothing is mapped at 0xfe000: the first one behind it is 0x100000',
    ],
    [
      'far away',
      0x12_3456_7000n,
      'nothing is mapped at 0x1234567000: the last mapped byte before it is 0x103fff',
    ],
  ])('%s: the fault says what is mapped around', (_name, iova, note) => {
    const program = new Explained();
    program.start();
    program.dma(iova);
    program.dma(iova);
    const [first, second] = program.lines;
    expect(first).toMatch(/^1\. ✗ .*: 0000:00:04\.0 write 0x[0-9a-f]+: fault 0x\w+, .*, 2 times$/);
    expect(second).toBe(note);
  });
  test('to what is mapped for reading only', () => {
    const program = new Explained();
    const { container } = program.start();
    const flags = uapi.VFIO_DMA_MAP_FLAG_READ;
    const vaddr = program.memory(0x1000);
    must(program.map(container, { flags, vaddr, iova: 0x20_0000n, size: 0x1000n }));
    program.dma(0x20_0000n);
    expect(program.lines[1]).toBe('0x200000 is mapped for reading only, and the device writes');
  });
});
describe('DMA that never came to the IOMMU', () => {
  test('of a device whose bus mastering is off', () => {
    const program = new Explained();
    program.command(program.start().device, 2);
    program.dma(MAPPED);
    const [first, rule, advice] = program.lines;
    expect(first).toContain('0000:00:04.0: DMA write 0x100000 +0x4  BLOCKED');
    expect(rule).toMatch(/^bus mastering is off/);
    expect(advice).toMatch(/^set bit 2 of the command register/);
  });
  test('of a device that is stopped for a migration', () => {
    const program = new Explained();
    program.start();
    program.machine.pci.device(EDU)!.slot.dma.activity = 'stopped';
    program.dma(MAPPED);
    expect(program.lines[1]).toBe('the device is stopped for a migration (device=0000:00:04.0)');
  });
  test('of a device that sleeps', () => {
    const edu = { type: 'edu', at: '0000:01:00.0', options: { pcie: true } };
    const port = { type: 'root-port', at: '0000:00:01.0', devices: [edu] };
    const program = new Explained({ devices: [port] }, edu.at);
    const { device } = program.start();
    must(program.pwrite(device, CONFIG + program.pmcsr(device), Uint8Array.of(3, 0)));
    program.dma(MAPPED);
    expect(program.lines[1]).toMatch(
      /^the function sleeps: it starts no transfer below D0 .*power=D3/,
    );
  });
});

describe('an open of what is not there', () => {
  test.each<[string, string]>([
    ['/dev/vfio/77', 'bound to vfio-pci: 0000:00:04.0 in group 0'],
    ['/dev/vfio/devices/vfio9', 'bound to vfio-pci: 0000:00:04.0 in group 0'],
    ['/sys/bus/pci/devices/0000:00:19.0/vendor', 'the devices of this machine: 0000:00:04.0'],
  ])('%s: what is there instead', (path, note) => {
    const program = new Explained();
    answers.push(program.open(path));
    expect(program.lines).toEqual([
      `1. openat(AT_FDCWD, "${path}") = -1 ENOENT (No such file or directory)`,
      note,
    ]);
  });
});

test('a group with a kernel driver in it: which function has which driver', () => {
  const program = new Explained({
    devices: [
      {
        type: 'pci-bridge',
        at: '0000:00:03.0',
        devices: [
          { type: 'edu', at: '0000:01:01.0' },
          { type: 'edu', at: '0000:01:02.0', driver: 'e1000e' },
        ],
      },
    ],
  });
  const id = program.machine.pci.device('0000:01:01.0')!.dev.iommuGroup!.id;
  const container = must(program.open('/dev/vfio/vfio'));
  answers.push(program.setContainer(must(program.open(`/dev/vfio/${id}`)), container));
  expect(program.lines.join('\n')).toContain(`0000:01:02.0 of group ${id} is bound to e1000e`);
});

test('what is remembered is bounded, and the rest is counted', () => {
  const program = new Explained();
  for (let n = 0; n < 300; n++) answers.push(program.open(`/dev/vfio/${1000 + n}`));
  expect(program.journal.troubles).toHaveLength(256);
  expect(program.lines.slice(-2)).toEqual([
    'and 246 other kinds of trouble (--trace shows all)',
    'and 44 more in yet other ways',
  ]);
});

test('every rule that a note is known for is one that is refused by', () => {
  const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((file) => /^(core|iommufd|vfio|machine)\/.*\.ts$/.test(file))
    .map((file) => readFileSync(`src/${file}`, 'utf8'))
    .join('\n');
  for (const rule of [...NOTED_RULES, TOLD_BY_FAULT]) expect(sources).toContain(`'${rule}'`);
});

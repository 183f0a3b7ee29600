import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { must } from '../../testing/base/must.ts';
import { answers, CONFIG, Explained, MAPPED } from '../../testing/insight/explained.ts';
import { Client, EDU } from '../../testing/machine/client.ts';
import { WaitQueue } from '../../base/wait-queue.ts';
import * as i from '../../uapi/iommufd.ts';
import * as uapi from '../../uapi/vfio.ts';
import { TOLD_BY_FAULT, TroubleJournal } from './journal.ts';
import type { MachineInput } from '../../machine/description/description.ts';
import { NOTED_RULES } from './notes.ts';

/** A device behind a port, and a hand that pulls it out. */
const BEHIND = '0000:01:00.0';
const HOTPLUG: MachineInput = {
  kernel: { with: ['debug-hotplug'] },
  devices: [
    {
      ...{ type: 'root-port', at: '0000:00:01.0' },
      devices: [{ type: 'edu', at: BEHIND, options: { pcie: true } }],
    },
  ],
};
const UNPLUG = '/sys/kernel/debug/softiommu/unplug';
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
  const [first, rule, , second] = program.lines;
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
    const [first, rule, who, advice] = program.lines;
    expect(first).toContain('0000:00:04.0: DMA write 0x100000 +0x4  BLOCKED');
    expect(rule).toMatch(/^bus mastering is off/);
    expect(who).toMatch(
      /^bus mastering was switched off by pwrite64\(\d+<anon_inode:\[vfio-device\] 0000:00:04.0>\) of process \d+$/,
    );
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
    ['/dev/vfio/devices/vfio9', 'bound to vfio-pci: 0000:00:04.0 is /dev/vfio/devices/vfio0'],
    ['/sys/bus/pci/devices/0000:00:19.0/vendor', 'the devices of this machine: 0000:00:04.0'],
  ])('%s: what is there instead', (path, note) => {
    const program = new Explained();
    answers.push(program.open(path));
    expect(program.lines).toEqual([
      `1. openat(AT_FDCWD, "${path}") = -1 ENOENT (No such file or directory)`,
      expect.stringMatching(
        /^no such file or directory \(path=.*, name=(77|vfio9|0000:00:19.0)\)$/,
      ),
      note,
    ]);
  });
});

describe('a call that succeeds and does nothing', () => {
  test.each(['type1v2', 'compat'])('an unmap of what is not mapped, %s', (how) => {
    const program = new Explained();
    const container = how === 'type1v2' ? program.start().container : program.compat().container;
    must(program.unmap(container, { iova: 0x90_0000n, size: 0x1000n }).rc);
    expect(program.lines).toEqual([
      expect.stringMatching(/^1\. ioctl\(.*VFIO_IOMMU_UNMAP_DMA.* = 0, and did nothing$/),
      'nothing is mapped in the range: nothing was unmapped (iova=0x900000, size=0x1000)',
    ]);
  });
  test('SET_IRQS that gives no vector an eventfd, or triggers none', () => {
    const program = new Explained();
    const { device } = program.start();
    const index = uapi.VFIO_PCI_MSI_IRQ_INDEX;
    const fds = uapi.VFIO_IRQ_SET_DATA_EVENTFD | uapi.VFIO_IRQ_SET_ACTION_TRIGGER;
    must(program.setIrqs(device, { flags: fds, index }, [-1]));
    const now = uapi.VFIO_IRQ_SET_DATA_NONE | uapi.VFIO_IRQ_SET_ACTION_TRIGGER;
    must(program.setIrqs(device, { flags: now, index, count: 1 }));
    expect(program.lines.filter((_line, n) => n % 2 === 1)).toEqual([
      'no vector was triggered (device=0000:00:04.0, kind=msi, start=0, count=1)',
      'no vector was given an eventfd (device=0000:00:04.0, start=0, count=1)',
    ]);
    must(program.setIrqs(device, { flags: fds, index }, [program.eventfd()]));
    must(program.setIrqs(device, { flags: now, index, count: 1 }));
    expect(program.lines.filter((line) => /^\d/.test(line))).toHaveLength(2);
  });
  test('it comes behind what failed, and is not said of a program that unmaps what it mapped', () => {
    const program = new Explained();
    const { container } = program.start();
    must(program.unmap(container, { iova: MAPPED, size: 0x4000n }).rc);
    expect(program.lines).toEqual([]);
    answers.push(program.map(container, { iova: 1n, size: 0x1000n }));
    must(program.unmap(container, { iova: MAPPED, size: 0x4000n }).rc);
    expect(program.lines.map((line) => /VFIO_IOMMU_\w+/.exec(line)?.[0])).toEqual([
      'VFIO_IOMMU_MAP_DMA',
      undefined,
      'VFIO_IOMMU_UNMAP_DMA',
      undefined,
    ]);
  });
});

describe('a call that succeeds and does nothing, of an iommufd', () => {
  test('a bitmap of dirty pages while tracking is off', () => {
    const program = new Explained();
    const { iommufd, devid, ioas } = program.bound();
    const flags = i.IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
    const alloc = { size: 48, flags, dev_id: devid, pt_id: ioas };
    const { rc, out } = program.call(iommufd, i.IOMMU_HWPT_ALLOC, i.iommu_hwpt_alloc, alloc);
    must(rc);
    const hwpt_id = out.out_hwpt_id;
    const range = { iova: 0n, length: 0x1000n, page_size: 0x1000n, data: program.memory(0x1000) };
    const get = () => {
      const type = i.iommu_hwpt_get_dirty_bitmap;
      const values = { size: type.size, hwpt_id, ...range };
      must(program.call(iommufd, i.IOMMU_HWPT_GET_DIRTY_BITMAP, type, values).rc);
    };
    get();
    expect(program.lines).toEqual([
      expect.stringMatching(/^1\. ioctl\(.*IOMMU_HWPT_GET_DIRTY_BITMAP.* = 0, and did nothing$/),
      `dirty tracking is off: the bitmap says nothing (hwpt_id=${hwpt_id})`,
    ]);
    const type = i.iommu_hwpt_set_dirty_tracking;
    const on = { size: 16, flags: i.IOMMU_HWPT_DIRTY_TRACKING_ENABLE, hwpt_id };
    must(program.call(iommufd, i.IOMMU_HWPT_SET_DIRTY_TRACKING, type, on).rc);
    get();
    expect(program.lines[0]).toMatch(/, and did nothing$/); // once, not twice
  });
  test('a detach of what is not attached', () => {
    const program = new Explained();
    const { device, ioas } = program.bound();
    const detach = () => {
      const type = uapi.vfio_device_detach_iommufd_pt;
      must(program.call(device, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, type).rc);
    };
    const type = uapi.vfio_device_attach_iommufd_pt;
    const attach = { pt_id: ioas };
    must(program.call(device, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, type, attach).rc);
    detach();
    expect(program.lines).toEqual([]);
    detach();
    expect(program.lines).toEqual([
      expect.stringMatching(/^1\. ioctl\(.*VFIO_DEVICE_DETACH_IOMMUFD_PT.* = 0, and did nothing$/),
      `the device was not attached (device=${EDU})`,
    ]);
  });
});

describe('a device that is pulled out', () => {
  const USE =
    /^process \d+ has it open: from now on its registers read all ones, .* starts no transfer$/;
  test('while the program has it open comes first, with who did it and what follows', () => {
    const program = new Explained(HOTPLUG, BEHIND);
    const { device } = program.start();
    const other = new Client(program.machine);
    const unplug = must(other.program.open(UNPLUG, { read: false, write: true }));
    must(other.program.write(unplug, new TextEncoder().encode(BEHIND)));
    expect(must(program.pread(device, 0n, 1))[0]).toBe(0xff);
    program.dma(MAPPED);
    answers.push(program.plain(device, uapi.VFIO_DEVICE_RESET));
    expect(program.lines.slice(0, 4)).toEqual([
      `1. ${BEHIND} was pulled out`,
      expect.stringMatching(
        new RegExp(`^it was pulled out by write\\(.*unplug.*\\) of process ${other.program.pid}$`),
      ),
      expect.stringMatching(USE),
      expect.stringContaining('VFIO_PCI_REQ_IRQ_INDEX'),
    ]);
    expect(program.lines.some((line) => line.startsWith('2. '))).toBe(true);
  });
  test('by nobody’s call, as a device that goes wrong does', () => {
    const program = new Explained(HOTPLUG, BEHIND);
    program.start();
    must(program.machine.hotplug.unplug(BEHIND) ?? 0);
    expect(program.lines).toEqual([
      `1. ${BEHIND} was pulled out`,
      expect.stringMatching(USE),
      expect.stringContaining('VFIO_PCI_ERR_IRQ_INDEX'),
    ]);
  });
  test('that nobody has open is no trouble', () => {
    const program = new Explained(HOTPLUG, BEHIND);
    must(program.machine.hotplug.unplug(BEHIND) ?? 0);
    expect(program.lines).toEqual([]);
  });
});

describe('who holds it', () => {
  test('an unbind waits for the last file of the device, and is no trouble once it is answered', () => {
    const program = new Explained();
    const { c, g, d } = program.device(uapi.VFIO_TYPE1v2_IOMMU);
    const unbind = program.unbinding();
    expect(unbind()).toBeInstanceOf(WaitQueue);
    expect(program.lines).toEqual([
      expect.stringMatching(/^1\. write\(.*unbind.*\) waits, and has not been answered$/),
      `the device is in use: its driver lets it go when its last file is closed (device=${EDU}, openedBy=${program.program.pid})`,
    ]);
    for (const fd of [d, g, c]) must(program.program.close(fd) ?? 0);
    expect(unbind()).toBe(EDU.length);
    expect(program.lines).toEqual([]);
  });
  test('a wait that only the end of the waiting program ended is told', () => {
    const program = new Explained();
    const { c, g, d } = program.device(uapi.VFIO_TYPE1v2_IOMMU);
    const other = program.machine.program();
    const unbind = program.unbinding(other);
    expect(unbind()).toBeInstanceOf(WaitQueue);
    program.machine.syscalls.diedAsleep(other.tid);
    for (const fd of [d, g, c]) must(program.program.close(fd) ?? 0);
    expect(unbind()).toBe(EDU.length);
    expect(program.lines[0]).toMatch(/^1\. write\(.*unbind.*\) waits, and has not been answered$/);
  });
  test('whoever reads the trace later, without the machine, sees that a wait was answered', () => {
    const program = new Explained();
    const later = new TroubleJournal();
    program.machine.env.trace.listen(later.take);
    const { c, g, d } = program.device(uapi.VFIO_TYPE1v2_IOMMU);
    const unbind = program.unbinding();
    expect(unbind()).toBeInstanceOf(WaitQueue);
    expect(later.troubles.map(({ event }) => event.kind)).toEqual(['sleep']);
    answers.push(program.open('/dev/vfio/77'));
    const kinds = later.troubles.map(({ event }) => event.kind);
    expect(kinds).toEqual(['sleep', 'leave']); // of another thread
    for (const fd of [d, g, c]) must(program.program.close(fd) ?? 0);
    expect(unbind()).toBe(EDU.length);
    expect(later.troubles.map(({ event }) => event.kind)).toEqual(['leave']);
  });
  test('a group that is open: who opened it', () => {
    const program = new Explained();
    const { g } = program.container(uapi.VFIO_TYPE1v2_IOMMU);
    expect(g).toBeGreaterThan(0);
    answers.push(program.open('/dev/vfio/0'));
    expect(program.lines[1]).toBe(
      `the group is open already (group=0, openedBy=${program.program.pid})`,
    );
    expect(program.lines[2]).toMatch(/^one open file is all a group has/);
  });
});

describe('locked memory: how much is charged to whom, and what is needed', () => {
  const limited = { uid: 0, capabilities: [], rlimitMemlock: 0x4000n };
  test('type1', () => {
    const program = new Explained('default', EDU, limited);
    const { c } = program.device(uapi.VFIO_TYPE1v2_IOMMU);
    must(program.map(c, { vaddr: program.memory(0x2000), iova: MAPPED, size: 0x2000n }));
    const vaddr = program.memory(0x4000);
    answers.push(program.map(c, { vaddr, iova: 0x20_0000n, size: 0x4000n }));
    expect(program.lines[2]).toBe(
      `8 KiB are charged to process ${program.program.pid} already, and 16 KiB more are to be: 24 KiB are needed, 16 KiB are allowed`,
    );
    expect(program.lines[3]).toContain('`ulimit -l 24`');
  });
});

describe('which way to DMA the program used', () => {
  test.each<[string, (program: Explained) => unknown]>([
    ['type1', (program) => program.container(uapi.VFIO_TYPE1_IOMMU)],
    ['type1v2', (program) => program.container(uapi.VFIO_TYPE1v2_IOMMU)],
    ['type1v2 compat (an iommufd as container)', (program) => program.compat()],
  ])('%s', (name, setUp) => {
    const program = new Explained();
    setUp(program);
    answers.push(program.open('/dev/vfio/77'));
    expect(program.all.at(-1)).toBe(`for DMA the program used ${name}`);
  });
  test('nothing is said of a program that set up none', () => {
    const program = new Explained();
    answers.push(program.open('/dev/vfio/77'));
    expect(program.all).toEqual(program.lines);
  });
});

test('an open that the mode of a node forbids: whose it is', () => {
  const program = new Explained('default', EDU, { uid: 1000, gid: 1000 });
  answers.push(program.open('/dev/vfio/0'));
  expect(program.lines).toEqual([
    '1. openat(AT_FDCWD, "/dev/vfio/0") = -1 EACCES (Permission denied)',
    'the mode of the node does not allow it (mode=600, owner=0:0, uid=1000)',
  ]);
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

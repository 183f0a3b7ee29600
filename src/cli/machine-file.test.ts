import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { topologyText } from './topology-text.ts';
import { resolveMachine, resolveSource, type MachineChoice } from './machine-file.ts';
import { UserMistake } from './user-mistake.ts';

const folder = mkdtempSync(join(tmpdir(), 'test-of-softiommu-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
function file(text: string): string {
  const name = join(folder, 'm.yaml');
  writeFileSync(name, text);
  return name;
}
function mistake(choice: MachineChoice): string {
  try {
    resolveMachine(choice);
  } catch (error) {
    if (error instanceof UserMistake) return error.message.replaceAll(`${folder}/`, '');
    throw error;
  }
  throw new Error('accepted');
}

describe('a YAML file', () => {
  test('a YAML file is a machine, with defaults for what it leaves out', () => {
    const yaml =
      'devices:\n  - type: edu\n    at: "0000:00:07.0"\n    options: { dma_mask_bits: 32 }\n';
    const machine = resolveMachine({ machine: file(yaml) });
    expect(machine.devices[0]).toMatchObject({ at: '0000:00:07.0', acs: true });
    expect(machine.iommus).toEqual([{ type: 'intel' }]);
  });
  test.for([
    [
      'a key',
      'devices:\n  - type: edu\n    at: "0000:00:04.0"\n    color: red\n',
      'm.yaml:4: devices[0].color: unknown key',
    ],
    [
      'a value',
      'iommus:\n  - type: intel\n    width: 40\n',
      'm.yaml:3: iommus[0].width: 40 is not allowed; allowed: 39, 48, 57',
    ],
    [
      'an element',
      'kernel:\n  with:\n    - test-dev\n    - speed\n',
      "m.yaml:4: kernel.with[1]: 'speed' is not allowed; allowed: ",
    ],
    [
      'hardware',
      'devices:\n  - type: edu\n    at: "0000:00:04.0"\n  - type: edu\n    at: "0000:00:04.0"\n',
      'm.yaml:5: devices[1].at: two functions are at 0000:00:04.0',
    ],
    ['YAML itself', 'devices:\n  - [edu\n', 'm.yaml:3: '],
  ])('a mistake in %s of a YAML file is reported with its line', ([, yaml, message]) => {
    expect(mistake({ machine: file(yaml!) })).toContain(message);
  });
  test.for([
    ['/nowhere.yaml', 'machine file /nowhere.yaml cannot be read: there is no such file'],
    ['/', 'machine file / cannot be read: it is a directory'],
    ['two-iommus', 'there is no machine file two-iommus; the preset is preset:two-iommus'],
    ['preset:toString', 'there is no preset:toString; presets: default'],
  ])('%s cannot be read, and the message says why', ([machine, message]) => {
    expect(mistake({ machine: machine! })).toContain(message);
  });
});

describe('a file that is no machine file', () => {
  const bytes = (content: Uint8Array): string => {
    const name = join(folder, 'm.yaml');
    writeFileSync(name, content);
    return name;
  };
  test.for<[string, string | Uint8Array, string]>([
    ['a scalar', 'hello\n', "m.yaml:1: must be keys and values, not 'hello'"],
    ['a list', '- a\n', 'm.yaml:1: must be keys and values, not a list'],
    [
      'bytes',
      Uint8Array.of(0x61, 0x0a, 0x7f, 0x45, 0x00),
      'm.yaml:2: this is no text in UTF-8: the byte 0x00',
    ],
    [
      'Latin 1',
      Uint8Array.of(0x23, 0x0a, 0x23, 0xe9, 0x0a),
      'm.yaml:2: this is no text in UTF-8: the byte 0xe9',
    ],
    [
      'half a character',
      Uint8Array.of(0x23, 0xc3),
      'm.yaml:1: this is no text in UTF-8: the byte 0xc3',
    ],
    [
      'two documents',
      'ramMiB: 1\n---\nramMiB: 2\n',
      'm.yaml:2: a second document begins: a file has one',
    ],
    [
      'a key twice',
      'ramMiB: 1\nramMiB: 2\n',
      "m.yaml:2: the key 'ramMiB' is there already, in line 1",
    ],
    [
      'an unknown alias',
      'devices: *all\n',
      'm.yaml:1: the alias *all names nothing: there is no &all above',
    ],
    ['__proto__', '__proto__: { ramMiB: 1 }\n', 'm.yaml:1: no key is called __proto__'],
    ['many mistakes', Array.from({ length: 30 }, (_, n) => `k${n}: 1\n`).join(''), 'and 10 more'],
  ])('%s: the message has the line, in our words', ([, content, message]) => {
    const name = typeof content === 'string' ? file(content) : bytes(content);
    expect(mistake({ machine: name }).split('\n').at(-1)).toBe(message);
  });
  test('an empty one is a machine with all defaults', () => {
    expect(resolveMachine({ machine: file('') })).toEqual(resolveMachine({ machine: file('{}') }));
  });
  test('one without an end is not read to its end', () => {
    expect(mistake({ machine: '/dev/zero' })).toBe(
      'machine file /dev/zero is larger than 262144 bytes',
    );
  });
});

describe('flags', () => {
  test('the flag --device adds to the machine, --iommu replaces its IOMMUs', () => {
    const machine = resolveMachine({
      device: ['edu,bdf=0000:00:05.0,driver=none,dma_mask_bits=0x20,pcie=true'],
      iommu: ['intel,width=39,scalable=false'],
    });
    expect(machine.devices.map((d) => d.at)).toEqual(['0000:00:04.0', '0000:00:05.0']);
    expect(machine.devices[1]).toMatchObject({
      driver: 'none',
      options: { dma_mask_bits: 32, pcie: true },
    });
    expect(machine.iommus).toEqual([{ type: 'intel', width: 39, scalable: false }]);
  });
  test.for([
    [{ machine: 'preset:nope' }, 'there is no preset:nope; presets: default, direct-mapped'],
    [
      { device: ['edu,bdf=0000:00:05.0,speed=1'] },
      "--device edu,bdf=0000:00:05.0,speed=1: unknown key 'speed'; allowed: bdf, driver, iommu, bar, migration, dma_mask_bits",
    ],
    [
      { device: ['edu,bdf=0000:00:05.0,bdf=0000:00:06.0'] },
      "--device edu,bdf=0000:00:05.0,bdf=0000:00:06.0: 'bdf=0000:00:06.0' gives its key a second time",
    ],
    [
      { device: ['edu,bdf=0000:00:05.0,__proto__=1'] },
      "--device edu,bdf=0000:00:05.0,__proto__=1: unknown key '__proto__'; allowed: ",
    ],
    [
      { block: ['__proto__,memory=1M'] },
      '--block __proto__,memory=1M: nothing can be called __proto__',
    ],
    [
      { device: ['edu,bdf=0000:00:05.0,dma_mask_bits=99'] },
      '--device (number 1): devices[1].options.dma_mask_bits: 99 is not allowed; allowed: whole numbers from 1 to 64',
    ],
    [{ device: ['edu,fast'] }, "--device edu,fast: 'fast' is not KEY=VALUE"],
    [
      { device: ['edo,bdf=0000:00:05.0'] },
      "--device (number 1): devices[1].type: unknown device type 'edo'; allowed: ",
    ],
    [{ device: ['edu,bdf=0000:00:04.0'] }, '--device (number 1): devices[1].at: two functions'],
    [{ iommu: ['amd'] }, "--iommu amd: unknown type 'amd'; allowed: intel, mock"],
    [
      { iommu: ['intel,speed=1'] },
      "--iommu intel,speed=1: unknown key 'speed'; allowed: name, scalable, width",
    ],
    [
      { iommu: ['intel,width=40'] },
      '--iommu (number 1): iommus[0].width: 40 is not allowed; allowed: 39, 48, 57',
    ],
  ] as const)(
    'a flag of %o is refused, and the message says what would be allowed',
    ([choice, message]) => {
      expect(mistake(choice)).toContain(message);
    },
  );
});

test('the topology shows groups, drivers and why a group is not viable', () => {
  const text = topologyText({ machine: 'preset:not-viable' });
  expect(text).toContain('└─0000:00:01.0 root-port [1b36:000c], driver pcieport, group 0, dmar0');
  expect(text).toContain('├─0000:01:00.0 edu [1234:11e8], driver vfio-pci, group 1, dmar0');
  expect(text).toContain(
    '/dev/vfio/1: 0000:01:00.0 (vfio0): not viable: 0000:01:00.1 is held by e1000e',
  );
});

test('the topology of a machine without devices says so', () => {
  expect(topologyText({ machine: file('devices: []\n') })).toMatch(/^dmar0: .*\n\nno devices\n$/);
});

test('names of files are relative to what says them: the machine file, or of a flag the current directory', () => {
  const machine = file('blocks: { d0: { file: a.raw } }\nwires: { lan: { listen: a.sock } }\n');
  const source = resolveSource({ machine, block: ['d1,file=b.raw'], wire: ['wan,listen=b.sock'] });
  const of = (...path: string[]): string => source.folder(path);
  expect([of('blocks', 'd0'), of('wires', 'lan')]).toEqual([dirname(machine), dirname(machine)]);
  expect([of('blocks', 'd1', 'file'), of('wires', 'wan', 'listen')]).toEqual(['.', '.']);
  expect(resolveSource({ block: ['d1,file=b.raw'] }).folder(['blocks', 'd1'])).toBe('.');
});

test.for<[MachineChoice, string]>([
  [{ wire: ['lan,tap=tap0', 'lan,listen=x'] }, "--wire lan,listen=x: 'lan' is there a second time"],
  [
    { wire: ['lan,listen=x,form=frames'] },
    "--wire (number 1): wires.lan.form: 'frames' is not allowed; allowed: stream, packets",
  ],
  [
    { wire: ['lan,file=x'] },
    "unknown key 'file'; allowed: tap, listen, connect, datagram, to, form",
  ],
  [
    { wire: ['lan,tap=tap0'], device: ['igb,wire=wan'] },
    "no wire 'wan' is given to the machine; given: sink, self, unplugged, lan",
  ],
])('a wire that cannot be is refused, %j: %s', ([choice, message]) => {
  expect(() => resolveMachine(choice)).toThrow(message);
});

describe('flags that add storage', () => {
  test('a device that names no place gets the first free one', () => {
    const machine = resolveMachine({
      device: ['edu', 'edu,bdf=0000:00:06.0', 'edu', 'nvme,drives=d0,d1,queues=2'],
      block: ['d0,memory=1M', 'd1,memory=65536'],
    });
    expect(machine.devices.map(({ at }) => at.slice(8, 10))).toEqual([
      '04',
      '05',
      '06',
      '07',
      '08',
    ]);
    expect(machine.devices[4]!.options).toEqual({ drives: 'd0,d1', queues: 2 });
    expect(machine.blocks).toEqual({ d0: { memory: '1M' }, d1: { memory: 65536 } });
  });
  test.for<[MachineChoice, string]>([
    [
      { block: ['d0,memory=5'], device: ['nvme,drives=d1'] },
      "--device (number 1): devices[1].options: no block device 'd1' is given to the machine; given: d0",
    ],
    [
      { block: ['d0,memory=5'] },
      '--block (number 1): blocks.d0.memory: must be whole blocks of 512 bytes, not 5',
    ],
    [{ block: ['d0,memory=1M', 'd0,file=x'] }, "--block d0,file=x: 'd0' is there a second time"],
    [
      { block: ['d0,size=1M'] },
      'blocks.d0: a block device is in memory or on a file: one of memory and file',
    ],
    [{ block: ['d0,memory=1M,mode=read-only'] }, 'blocks.d0.mode: mode is said of a file'],
    [
      { block: ['d0,file=x,mode=new'] },
      "blocks.d0.mode: 'new' is not allowed; allowed: read-write, read-only, copy-on-write",
    ],
    [
      { block: ['d0,file=x,size=2P'] },
      "blocks.d0.size: must be bytes, or a number with K, M, G or T such as '64M', not '2P'",
    ],
    [
      { block: ['d0,memory=1M'], device: ['nvme,drives=d0', 'nvme,drives=d0'] },
      "--device (number 2): devices[2].options: the block device 'd0' is already that of 0000:00:05.0",
    ],
    [
      { block: ['d 0,memory=1M'] },
      "blocks.d 0: must be 1 to 32 letters, digits and . _ -, not 'd 0'",
    ],
    [{ block: ['d0,disk=1M'] }, "unknown key 'disk'; allowed: memory, file, mode, size"],
  ])('%j: %s', ([choice, message]) => {
    expect(() => resolveMachine(choice)).toThrow(message);
  });
});

describe('--nodefaults', () => {
  test('begins with no devices; what is added stands in the first slot', () => {
    expect(resolveMachine({ nodefaults: true }).devices).toEqual([]);
    const { devices } = resolveMachine({ nodefaults: true, device: ['edu', 'dma-echo'] });
    expect(devices.map(({ type, at }) => `${type} ${at}`)).toEqual([
      'edu 0000:00:04.0',
      'dma-echo 0000:00:05.0',
    ]);
  });
  test('is one machine, and a file or preset another', () => {
    expect(() => resolveMachine({ nodefaults: true, machine: 'preset:default' })).toThrow(
      '--nodefaults is a machine without devices, and --machine another: give one',
    );
  });
});

/** `--plugin`: a device of the user's own under a real program, its exceptions, and files that are no plugins. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { pythonByGroup } from './by-group.ts';
import { command } from './environments.ts';
import { CHECKOUT } from './project.ts';

const folder = mkdtempSync(join(tmpdir(), 'plugins-of-softiommu-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const softiommu = (...args: string[]) => command(args, { cwd: folder });
function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return name;
}

/** A counter: what is at 8 throws, and a store throws later. Its imports are softiommu's, wherever the file is. */
const COUNTER = `
import { offsetsOf } from 'softiommu/devices';
import { definePlugin } from 'softiommu/plugin';
offsetsOf({});
const counter = {
  type: 'counter',
  summary: 'counts the loads of its register',
  options: { start: { kind: 'integer', default: 0, max: 100, help: 'the first value' } },
  identity: () => ({
    vendor: 0x1234, device: 1, revision: 0, classCode: 0xff0000, interruptPin: 0,
    bars: [{ index: 0, size: 4096, kind: 'mem32' }],
  }),
  create(port, { start }) {
    let count = BigInt(start);
    return {
      powerOn() {}, reset() {}, restore() {}, state: () => ({ count }),
      mmioRead(bar, offset) {
        if (offset === 8) throw new Error('nothing is at 8');
        return count++;
      },
      mmioWrite: () => port.clock.after(0, () => { throw new Error('too late'); }),
    };
  },
};
const devices = [{ type: 'counter', at: '0000:00:06.0', options: { start: 7 } }];
export default definePlugin({
  name: 'mine', devices: [counter], presets: { counted: { summary: 'a counter', machine: { devices } } },
});
`;
const DRIVER = `${pythonByGroup('0000:00:06.0')}
print(load(0), load(0), hex(load(8)))
os.pwrite(device, bytes(4), 0)
print(load(0))
`;
/** A dma-echo from and to memory that is mapped: its status. */
const ECHO = `${pythonByGroup('0000:00:06.0')}
import ctypes, mmap, time
memory = mmap.mmap(-1, 8192)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
fcntl.ioctl(container, 0x3B71, struct.pack('IIQQQ', 32, 3, address, 0x100000, 8192))
os.pwrite(device, struct.pack('<H', 6), (7 << 40) + 4)
os.pwrite(device, struct.pack('<Q', 0x100000), 0)
os.pwrite(device, struct.pack('<Q', 0x101000), 8)
os.pwrite(device, struct.pack('<I', 4), 16)
status = 1
while status == 1: status = load(20)
print(status)
`;

test('a device of a plugin under a program, and its exceptions as the bus shows them', () => {
  file('counter.mjs', COUNTER);
  const machine = ['--plugin', 'counter.mjs', '--machine', 'preset:counted'];
  const { status, stdout, stderr } = softiommu(
    'run',
    ...machine,
    '--',
    '/usr/bin/python3',
    '-c',
    DRIVER,
  );
  const said = stderr.split('\n').map((line) => line.replace(/ \(at .*/, ''));
  expect(said).toEqual([
    'softiommu: plugin mine: counter.mmioRead: nothing is at 8',
    'softiommu: plugin mine: counter.a timer: too late',
    '',
  ]);
  expect([status, stdout]).toEqual([0, '7 8 0xffffffff\n9\n']);
});
test('its options are checked, and other commands know it', () => {
  file('counter.mjs', COUNTER);
  const plugin = ['--plugin', 'counter.mjs'];
  const wrong = softiommu('run', ...plugin, '--device', 'counter,start=101', '--', 'true');
  expect([wrong.status, wrong.stderr]).toEqual([
    125,
    'softiommu: --device (number 1): devices[1].options.start: 101 is not allowed; allowed: whole numbers from 0 to 100\n',
  ]);
  expect(softiommu('topology', ...plugin, '--device', 'counter').stdout).toContain(
    'counter [1234:0001]',
  );
});
test.for([
  ['no file', undefined, 'there is no such file'],
  ['no module', 'export default {', 'cannot be loaded: Unexpected end of input'],
  ['a module that throws', 'throw new Error("not today")', 'cannot be loaded: not today'],
  [
    'a module that ends the process',
    'process.exit(0)',
    'cannot be loaded: process.exit() was called',
  ],
  [
    'no default export',
    'export const x = 1',
    'has no default export; it should have: export default definePlugin({ name, devices: [ … ] })',
  ],
  [
    'a wrong shape',
    'export default { name: "a", devices: [{}] }',
    'devices[0].type: must be a text',
  ],
  [
    'no text thrown',
    'throw { toString() { throw 1; } }',
    'cannot be loaded: something that is no text',
  ],
  ['a promise', 'export default new Promise(() => undefined)', 'its default export is a promise'],
  [
    'a getter that throws',
    'export default { name: "a", get devices() { throw new Error("boom"); } }',
    'what it exports cannot be looked at: boom',
  ],
  [
    'an endless promise',
    'await new Promise(() => undefined);\nexport default { name: "a" };',
    'is not loaded after 10 seconds: it awaits at its top level what does not come',
  ],
  [
    'a name that is given twice',
    COUNTER.replace('devices: [counter]', 'devices: [counter, counter]'),
    "there is a device 'counter' already",
  ],
  [
    'a name that is taken',
    COUNTER.replaceAll("'counter'", "'edu'"),
    "there is a device 'edu' already",
  ],
] as const)('%s is a clear line', ([name, text, message]) => {
  const own = `${name.replaceAll(' ', '-')}.mjs`;
  if (text !== undefined) file(own, text);
  const { status, stderr } = softiommu('run', '--plugin', own, '--', 'true');
  expect(status).toBe(125);
  expect(stderr.trimEnd()).toContain(`softiommu: plugin ${own}: ${message}`);
});
test.for([
  ['a FIFO', 'mkfifo', 'is no regular file, so it cannot be loaded'],
  ['a directory', 'mkdir', 'is a directory: name the file of the module in it'],
  ['a link to a device', 'ln -s /dev/zero', 'is no regular file, so it cannot be loaded'],
] as const)('%s is refused at once', ([what, make, message]) => {
  const own = `${what.replaceAll(' ', '-')}.mjs`;
  spawnSync('sh', ['-c', `${make} ${own}`], { cwd: folder });
  for (const command of [
    ['run', '--plugin', own, '--', 'true'],
    ['topology', '--plugin', own],
  ]) {
    const { status, stderr } = softiommu(...command);
    expect([status, stderr]).toEqual([
      125,
      expect.stringMatching(new RegExp(`^softiommu: plugin ${own}: ${message}[^\n]*\n$`)),
    ]);
  }
});
test.for([
  ['a timer', 'setInterval(() => undefined, 1000);'],
  ['a server', "import { createServer } from 'node:net';\ncreateServer().listen(0);"],
  [
    'a read of a FIFO',
    "import { readFile } from 'node:fs';\nreadFile('waited-for', () => undefined);",
  ],
] as const)(
  '%s that a plugin leaves behind does not keep a command from ending',
  ([what, text]) => {
    spawnSync('mkfifo', ['waited-for'], { cwd: folder });
    const own = file(
      `${what.replaceAll(' ', '-')}.mjs`,
      `${text}\nexport default { name: 'a' };\n`,
    );
    expect(softiommu('topology', '--plugin', own)).toMatchObject({ status: 0, stderr: '' });
    expect(softiommu('topology', '--plugin', own, '--device', 'none').status).toBe(125);
    expect(softiommu('run', '--plugin', own, '--', 'sh', '-c', 'exit 7')).toMatchObject({
      status: 7,
      stderr: '',
    });
  },
);
test('a plugin that waits for a FIFO is told, and the command ends', () => {
  spawnSync('mkfifo', ['never'], { cwd: folder });
  const own = file(
    'waits.mjs',
    "import { readFile } from 'node:fs/promises';\nawait readFile('never');\nexport default { name: 'a' };\n",
  );
  const { status, stderr } = softiommu('topology', '--plugin', own);
  expect([status, stderr]).toEqual([
    125,
    'softiommu: plugin waits.mjs: is not loaded after 10 seconds: it awaits at its top level what does not come\n',
  ]);
});
test.for([
  ['a timer', 'setTimeout(() => { throw new Error("later"); }, 0);', 'later'],
  ['a promise', 'Promise.reject(new Error("refused"));', 'refused'],
] as const)('what is thrown in %s is one line', ([what, text, message]) => {
  const own = file(`${what.replace(' ', '-')}.mjs`, `${text}\n${COUNTER}`);
  const { status, stderr } = softiommu('run', '--plugin', own, '--', 'sleep', '1');
  expect(stderr).toBe(
    `softiommu: nobody caught what was thrown, by a plugin perhaps: ${message}\n`,
  );
  expect(status).toBe(125);
});
test('TypeScript is for a Node that strips types', () => {
  const own = file('typed.ts', 'const name: string = "a";\nexport default { name };\n');
  const { status, stderr } = softiommu('run', '--plugin', own, '--', 'true');
  const strips = 'typescript' in process.features && process.features.typescript;
  if (strips) expect(status).toBe(0);
  else {
    expect(stderr).toContain(
      'does not run TypeScript; Node 22.18 does. Here: npx esbuild typed.ts',
    );
    expect(stderr).toContain('--outfile=typed.mjs, and --plugin typed.mjs');
  }
});
test('what a device says of itself wrongly is told with plugin and call', () => {
  const identity = (text: string) => {
    file('wrong.mjs', COUNTER.replace('identity: () => ({', `identity: () => ${text} ?? ({`));
    return softiommu('topology', '--plugin', 'wrong.mjs', '--device', 'counter').stderr;
  };
  expect(identity('[].x.y')).toContain('softiommu: plugin mine: counter.identity: Cannot read');
  expect(identity('3')).toContain('softiommu: plugin mine: counter.identity: gives no identity');
  expect(identity('({ vendor: "a" })')).toContain('identity: vendor must be a number');
});
test('a load that gives no bigint is told, and reads ones', () => {
  file('number.mjs', COUNTER.replace('return count++', 'return 3'));
  const device = 'counter,bdf=0000:00:06.0';
  const run = ['run', '--plugin', 'number.mjs', '--nodefaults', '--device', device, '--'];
  const { stdout, stderr } = softiommu(...run, '/usr/bin/python3', '-c', DRIVER);
  expect(stderr).toContain('plugin mine: counter.mmioRead: gives number and no bigint');
  expect(stdout).toBe('4294967295 4294967295 0xffffffff\n4294967295\n');
});
test('an IOMMU that fails blocks the access, or is not made', () => {
  const plain = readFileSync(join(CHECKOUT, 'examples/plugins/iommu.mjs'), 'utf8');
  file('failing.mjs', plain.replace('const steps =', 'throw new Error("no steps"); const steps ='));
  const machine = ['--iommu', 'plain', '--device', 'dma-echo,bdf=0000:00:06.0', '--nodefaults'];
  const run = ['run', '--plugin', 'failing.mjs', ...machine, '--', '/usr/bin/python3', '-c', ECHO];
  const { status, stdout, stderr } = softiommu(...run);
  expect([status, stdout]).toEqual([0, '3\n']);
  expect(stderr).toMatch(/plugin plain IOMMU: plain\.(translate|request): no steps \(at /);
  const none = ['--iommu', 'plain,format=none'];
  expect(softiommu('topology', '--plugin', 'failing.mjs', ...none).stderr).toContain(
    'softiommu: plugin plain IOMMU: plain.create: there is no format none',
  );
});

describe('plugins of a machine file', () => {
  const MACHINE = `plugins: [more/counter.mjs]
devices: [{ type: counter, at: '0000:00:06.0', options: { start: 7 } }]
`;
  function machine(text = MACHINE): string {
    mkdirSync(join(folder, 'sub/more'), { recursive: true });
    file('sub/more/counter.mjs', COUNTER);
    return file('sub/machine.yaml', text);
  }
  test('are found beside the file, by every command', () => {
    const yaml = machine();
    const wishes = file('wishes.yaml', "- { domain: { iommu: dmar0 }, device: '0000:00:06.0' }\n");
    const counter = 'counter [1234:0001], driver vfio-pci';
    expect(softiommu('topology', '--machine', yaml).stdout).toContain(counter);
    expect(softiommu('test-attach', '--machine', yaml, wishes).stdout).toContain('would succeed');
    const run = softiommu('run', '--machine', yaml, '--', '/usr/bin/python3', '-c', DRIVER);
    expect([run.status, run.stdout]).toEqual([0, '7 8 0xffffffff\n9\n']);
  });
  test('may be named by a flag as well, and are printed as this directory names them', () => {
    const yaml = machine();
    const printed = softiommu(
      'topology',
      '--machine',
      yaml,
      '--plugin',
      'sub/more/counter.mjs',
      '--print',
    );
    expect(printed.stdout).toMatch(/^plugins:\n? *[[-] *sub\/more\/counter\.mjs/m);
    const again = file('printed.yaml', printed.stdout);
    expect(softiommu('topology', '--machine', again).stdout).toContain('counter');
  });
  test.for([
    ['plugins: [none.mjs]', 'sub/machine.yaml:1: plugin sub/none.mjs: there is no such file'],
    ['plugins: none.mjs', 'sub/machine.yaml:1: plugins: '],
    ['plugins: [3]', 'sub/machine.yaml:1: plugins[0]: '],
  ] as const)('%s is a clear line', ([text, message]) => {
    const { status, stderr } = softiommu('topology', '--machine', machine(text));
    expect([status, stderr]).toEqual([125, expect.stringContaining(`softiommu: ${message}`)]);
  });
});

test('test-attach takes a plugin', () => {
  file('counter.mjs', COUNTER);
  const wishes = file('wishes.yaml', "- { domain: { iommu: dmar0 }, device: '0000:00:06.0' }\n");
  const machine = ['--plugin', 'counter.mjs', '--device', 'counter,bdf=0000:00:06.0'];
  expect(softiommu('test-attach', ...machine, wishes).stdout).toContain('all 1 would succeed');
});

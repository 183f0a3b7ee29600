/** `--plugin`: a device of the user's own under a real program, its exceptions, and files that are no plugins. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MAIN } from './project.ts';

const folder = mkdtempSync(join(tmpdir(), 'plugins-of-softiommu-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function softiommu(...args: string[]) {
  const options = { encoding: 'utf8', cwd: folder, timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], options);
  return { status, stdout, stderr };
}
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
const DRIVER = `
import fcntl, os, struct
container = os.open('/dev/vfio/vfio', os.O_RDWR)
group = os.open('/dev/vfio/0', os.O_RDWR)
fcntl.ioctl(group, 0x3B68, struct.pack('i', container))
fcntl.ioctl(container, 0x3B66, 3)
device = fcntl.ioctl(group, 0x3B6A, bytearray(b'0000:00:06.0\\0'))
load = lambda at: struct.unpack('<I', os.pread(device, 4, at))[0]
print(load(0), load(0), hex(load(8)))
os.pwrite(device, bytes(4), 0)
print(load(0))
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
test('TypeScript is for a Node that strips types', () => {
  const own = file('typed.ts', 'const name: string = "a";\nexport default { name };\n');
  const { status, stderr } = softiommu('run', '--plugin', own, '--', 'true');
  const strips = 'typescript' in process.features && process.features.typescript;
  if (strips) expect(status).toBe(0);
  else expect(stderr).toContain('does not run TypeScript; Node 22.18 does');
});

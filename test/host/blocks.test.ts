/** `--block`: files under a device of a run: written, read-only, copied on write, and those that are no disk. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { pythonByGroup } from './by-group.ts';
import { command } from './environments.ts';

const folder = mkdtempSync(join(tmpdir(), 'blocks-of-softiommu-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const IMAGE = join(folder, 'disk.raw');
const SECTORS = 4;
const SECTOR = 512;

/** A device over a block, in three registers: at 0 which sector, at 4 what to do, at 8 the first byte or the errno. */
const SECTOR_DEVICE = `
import { definePlugin } from 'softiommu/plugin';
const sectors = {
  type: 'sectors',
  summary: 'reads and fills sectors of a block',
  options: { drive: { kind: 'text', default: '', help: 'name of the block' } },
  needs: ({ drive }) => [{ kind: 'block', name: drive }],
  identity: () => ({
    vendor: 0x1234, device: 2, revision: 0, classCode: 0x018000, interruptPin: 0,
    bars: [{ index: 0, size: 4096, kind: 'mem32' }],
  }),
  create(port, { drive }) {
    const block = port.host.block(drive);
    const BUSY = 0xbbbbbbbbn;
    let [sector, result] = [0n, 0n];
    return {
      powerOn() {}, reset() {}, restore() {}, state: () => ({ sector, result }),
      mmioRead: (_bar, offset, width) =>
        BigInt.asUintN(8 * width, [sector, block.length / 512n, result, BigInt(block.isReadOnly)][offset / 4] ?? 0n),
      mmioWrite(_bar, offset, _width, value) {
        if (offset === 0) return void (sector = value);
        const bytes = new Uint8Array(512).fill(Number(value & 0xffn));
        const done = (rc) => void (result = rc ? BigInt(rc.number) << 16n : BigInt(bytes[0]));
        result = BUSY;
        if (value >> 8n === 0n) block.read(sector * 512n, bytes, done);
        else if (value >> 8n === 1n) block.write(sector * 512n, bytes, done);
        else block.flush(done);
      },
    };
  },
};
export default definePlugin({ name: 'sectors', devices: [sectors] });
`;
const DRIVER = `${pythonByGroup('0000:00:04.0')}
store = lambda at, value: os.pwrite(device, struct.pack('<I', value), at)
def act(sector, command):
    store(0, sector)
    store(4, command)
    while load(8) == 0xbbbbbbbb: pass
    value = load(8)
    return 'errno %d' % (value >> 16) if value >> 16 else chr(value)
print('sectors', load(4), 'read-only', load(12))
print('read', act(1, 0))
print('write', act(1, 0x100 | ord('w')))
act(0, 0x200)
print('read', act(1, 0))
print('beyond', act(4, 0))
`;

const softiommu = (...args: string[]) => command(args, { cwd: folder });
function runOn(...blocks: string[]) {
  const machine = ['--plugin', 'sectors.mjs', '-nodefaults', '--device', 'sectors,drive=disk0'];
  const flags = blocks.flatMap((block) => ['--block', block]);
  return softiommu('run', ...machine, ...flags, '--', '/usr/bin/python3', '-c', DRIVER);
}
function image(text = 'abcd', length = SECTOR): string {
  return [...text].map((letter) => letter.repeat(length)).join('');
}

beforeEach(() => {
  writeFileSync(join(folder, 'sectors.mjs'), SECTOR_DEVICE);
  writeFileSync(IMAGE, image());
});

describe('a disk image', () => {
  test.for<[mode: string, readOnly: 0 | 1, write: string, then: string, left: string]>([
    ['', 0, 'w', 'w', 'awcd'],
    [',mode=read-write', 0, 'w', 'w', 'awcd'],
    [',mode=read-only', 1, 'errno 5', 'b', 'abcd'],
    [',mode=copy-on-write', 0, 'w', 'w', 'abcd'],
  ])('with %j', ([mode, readOnly, write, then, left]) => {
    const { status, stdout, stderr } = runOn(`disk0,file=disk.raw${mode}`);
    expect(stderr).toBe('');
    expect(stdout.split('\n')).toEqual([
      `sectors ${SECTORS} read-only ${readOnly}`,
      'read b',
      `write ${write}`,
      `read ${then}`,
      'beyond errno 5',
      '',
    ]);
    expect([status, readFileSync(IMAGE, 'latin1')]).toEqual([0, image(left)]);
  });
  test('is made where a size is said and there is none', () => {
    const { stdout, stderr } = runOn('disk0,file=new.raw,size=2K');
    expect([stderr, stdout.split('\n')[1]]).toEqual(['', 'read \0']);
    expect(readFileSync(join(folder, 'new.raw'), 'latin1')).toBe(image('\0w\0\0'));
    rmSync(join(folder, 'new.raw'));
  });
  test('may be memory, which a run begins anew', () => {
    for (let n = 0; n < 2; n++) {
      expect(runOn('disk0,memory=2K').stdout).toContain('read \0\nwrite w\nread w\n');
    }
  });
});

describe('a file that is no disk ends the run with its flag and the reason', () => {
  test.for<[block: string, content: string | undefined, message: string]>([
    ['disk0,file=none.raw', undefined, 'none.raw cannot be written: there is no such file'],
    [
      'disk0,file=none.raw,mode=read-only',
      undefined,
      'none.raw cannot be read: there is no such file',
    ],
    ['disk0,file=none.raw', '', 'none.raw is empty, and a disk has blocks'],
    ['disk0,file=none.raw', 'x'.repeat(511), 'none.raw is 511 bytes long, and a disk is of whole'],
    [
      'disk0,file=none.raw,size=4K',
      'x'.repeat(512),
      'none.raw is there, and 512 bytes long: size is said of a file that is to be made',
    ],
    ['disk0,file=.,mode=read-only', undefined, '. is no regular file'],
  ])('%s', ([block, content, message]) => {
    const file = join(folder, 'none.raw');
    if (content !== undefined) writeFileSync(file, content);
    const { status, stdout, stderr } = runOn(block);
    expect([status, stdout]).toEqual([125, '']);
    expect(stderr).toMatch(/^softiommu: --block \(number 1\): blocks\.disk0\.file: /);
    expect(stderr).toContain(message);
    if (content === undefined) expect(existsSync(file)).toBe(false);
    else rmSync(file);
  });
  test('a block that nobody has given', () => {
    const { status, stderr } = runOn('disk1,memory=1M');
    expect(status).toBe(125);
    expect(stderr).toContain('disk0');
  });
});

/** /dev/iommu of older kernels: what each release answers (iommufd.md 1.2, 1.3, chapter 9). */
import { describe, expect, test } from 'vitest';
import {
  E2BIG,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  isErrno,
  type Errno,
} from '../../src/base/errno.ts';
import { KernelEnv } from '../../src/base/kernel-env.ts';
import { isSince, NEWEST_RELEASE, RELEASES, type Release } from '../../src/base/kernel-release.ts';
import type { KernelTrait } from '../../src/base/kernel-traits.ts';
import { listening, type Refusal } from '../../src/base/refuse.ts';
import { U64_MAX } from '../../src/base/u64.ts';
import { struct, u32 } from '../../src/base/struct.ts';
import { deviceBind } from '../../src/iommufd/device.ts';
import { ioctlOp } from '../../src/iommufd/ioctl.ts';
import { ctxFromFile, openIommufd } from '../../src/iommufd/main.ts';
import { traitsOf } from '../../src/machine/description/releases.ts';
import { createMachine } from '../../src/machine/create-machine.ts';
import { Machine } from '../../src/machine/machine.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import { COMMANDS_SINCE } from '../../src/uapi/iommufd-since.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import { must } from '../../src/testing/base/must.ts';
import { hwptAlloc, ioasAlloc, map, mock } from '../../src/testing/iommufd/calls.ts';
import { deviceRig, withoutNestedCaches } from '../../src/testing/iommufd/device-rig.ts';
import { ARG, ARRAY, BUFFER, peek, poke } from '../../src/testing/iommufd/process.ts';
import { World, type Iommufd } from '../../src/testing/iommufd/world.ts';

const SELFTEST: readonly KernelTrait[] = ['iommufd-selftest'];
const NEST_PARENT = uapi.IOMMU_HWPT_ALLOC_NEST_PARENT;

/** A machine of a released kernel and nothing else, but for the selftest. */
function worldOf(version: Release, more: readonly KernelTrait[] = SELFTEST): World {
  const traits = traitsOf({ version, with: more, without: [] });
  return new World({ env: new KernelEnv(traits, version), ramBytes: 1 << 20 });
}
function first<T>(call: () => T): { readonly result: T; readonly refusal: Refusal | undefined } {
  const heard: Refusal[] = [];
  const result = listening((refusal) => heard.push(refusal), call);
  return { result, refusal: heard[0] };
}
const IOMMUFD_RELEASES = RELEASES.filter((release) => isSince(release, '6.2'));

/** The specification's table, by command number. */
const SINCE: readonly (readonly [nr: number, since: Release])[] = [
  [0x80, '6.2'],
  [0x81, '6.2'],
  [0x82, '6.2'],
  [0x83, '6.2'],
  [0x84, '6.2'],
  [0x85, '6.2'],
  [0x86, '6.2'],
  [0x87, '6.2'],
  [0x88, '6.2'],
  [0x89, '6.6'],
  [0x8a, '6.6'],
  [0x8b, '6.7'],
  [0x8c, '6.7'],
  [0x8d, '6.8'],
  [0x8e, '6.11'],
  [0x8f, '6.13'],
  [0x90, '6.13'],
  [0x91, '6.13'],
  [0x92, '6.13'],
  [0x93, '6.15'],
  [0x94, '6.17'],
  [0x95, '7.3'],
  [0xa0, '6.2'],
];

describe.each(IOMMUFD_RELEASES)('commands of %s', (release) => {
  test.for(SINCE)('command %i is there since %s', ([nr, since]) => {
    const fd = worldOf(release).open();
    const { result, refusal } = first(() => fd.ioctl(0x3b00 | nr, ARG));
    // A struct of size 0 is the first thing a served command looks at.
    if (isSince(release, since)) expect(result).toBe(EINVAL);
    else {
      expect(result).toBe(ENOTTY);
      expect(refusal).toMatchObject({
        rule: 'the command is of a later kernel',
        facts: { kernel: release, since },
      });
      // The selftest's number is the last of the table: what is missing before it is a hole.
      expect(fd.ioctl(0x3b00 | nr, 0n)).toBe(EFAULT);
    }
  });
  test('the table ends with the last command, and beyond it nothing is read', () => {
    const fd = worldOf(release, []).open();
    const known = SINCE.filter(([nr, since]) => nr !== 0xa0 && isSince(release, since));
    const last = Math.max(...known.map(([nr]) => nr));
    expect(fd.ioctl(0x3b00 | last, 0n)).toBe(EFAULT);
    expect(fd.ioctl(0x3b00 | (last + 1), 0n)).toBe(ENOTTY);
    expect(fd.ioctl(t.IOMMU_TEST_CMD, 0n)).toBe(ENOTTY);
  });
});

test('the table of the code is that of the specification', () => {
  const rows = [...COMMANDS_SINCE].map(([command, { since }]) => [command & 0xff, since]);
  expect(rows).toEqual(SINCE);
});

test('a kernel with the posted noiommu series has its command', () => {
  const fd = worldOf('6.12', ['iommufd-noiommu']).open();
  fd.task.capable = () => false;
  const call = () => fd.call(uapi.IOMMU_IOAS_NOIOMMU_GET_PA, uapi.iommu_ioas_noiommu_get_pa, {});
  expect(call()).toBe(EPERM);
});

/** Where the struct of each release ends. */
const SIZES: readonly (readonly [
  cmd: number,
  struct: string,
  sizes: Partial<Record<Release, number>>,
])[] = [
  [uapi.IOMMU_HWPT_ALLOC, 'iommu_hwpt_alloc', { '6.6': 24, '6.7': 40, '6.11': 48 }],
  [uapi.IOMMU_GET_HW_INFO, 'iommu_hw_info', { '6.6': 32, '6.7': 40 }],
  [uapi.IOMMU_VIOMMU_ALLOC, 'iommu_viommu_alloc', { '6.13': 24, '6.17': 40 }],
];

describe.each(SIZES)('%i: %s', (cmd, _struct, sizes) => {
  const newest = Math.max(...Object.values(sizes));
  const since = Object.keys(sizes)[0] as Release;
  test.for(IOMMUFD_RELEASES.filter((release) => isSince(release, since)))(
    'a struct ends in %s where it ended then: a byte behind is E2BIG, a zero behind is not',
    (release) => {
      const ends = Object.entries(sizes).filter(([from]) => isSince(release, from as Release));
      const size = ends.at(-1)![1];
      const call = (length: number, at?: number) => {
        const fd = worldOf(release).open();
        const bytes = new Uint8Array(newest + 8);
        new DataView(bytes.buffer).setUint32(0, length, true);
        if (at !== undefined) bytes[at] = 1;
        poke(fd.task, ARG, bytes);
        return fd.ioctl(cmd, ARG);
      };
      const plain = call(size);
      expect(plain).not.toBe(E2BIG);
      expect(call(newest + 8)).toBe(plain);
      for (let at = size; at < newest + 8; at++) {
        const { result, refusal } = first(() => call(newest + 8, at));
        expect(result).toBe(E2BIG);
        const facts = size < newest ? { kernel: release } : {};
        expect(refusal?.facts).toMatchObject(facts);
      }
      expect(call(Math.min(...Object.values(sizes)) - 1)).toBe(EINVAL);
    },
  );
});

test('a refused tail tells the field, and who has it', () => {
  const fd = worldOf('6.8').open();
  const values = { fault_id: 1 };
  const { result, refusal } = first(() =>
    fd.call(uapi.IOMMU_HWPT_ALLOC, uapi.iommu_hwpt_alloc, values),
  );
  expect(result).toBe(E2BIG);
  expect(refusal?.facts).toMatchObject({ field: 'fault_id', kernel: '6.8', since: '6.11' });
});

test('to a handler the fields of later kernels are 0 at every call', () => {
  const layout = struct('twice', 12, { size: u32, old: u32, later: u32 });
  const seen: number[] = [];
  const op = ioctlOp(0, layout, 'old', ({ cmd }) => {
    seen.push(cmd.later);
    cmd.later = 7;
    return undefined;
  });
  const { file, task } = worldOf('6.12').open();
  const ctx = ctxFromFile(file)!;
  poke(task, ARG, new Uint8Array(Uint32Array.of(8, 1).buffer));
  for (const one of [op, op.cut(8, {})]) {
    for (let call = 0; call < 2; call++) expect(one.run(ctx, task, ARG)).toBe(0);
  }
  expect(seen).toEqual([0, 0, 0, 0]);
});

test('what an older struct has no room for is not written', () => {
  for (const [release, room] of [
    ['6.6', 32],
    ['6.7', 40],
  ] as const) {
    const fd = worldOf(release).open();
    const { idev } = mock(fd, ioasAlloc(fd));
    for (let call = 0; call < 2; call++) {
      poke(fd.task, ARG, new Uint8Array(40));
      poke(fd.task, ARG, new Uint8Array(Uint32Array.of(40, 0, idev).buffer));
      expect(fd.ioctl(uapi.IOMMU_GET_HW_INFO, ARG)).toBe(0);
      const capabilities = new DataView(peek(fd.task, ARG, 40).buffer).getBigUint64(32, true);
      const tracks = (capabilities & uapi.IOMMU_HW_CAP_DIRTY_TRACKING) !== 0n;
      expect(tracks).toBe(room === 40);
    }
  }
});

/** An IOAS with a mock device, and of kernels that have it a hwpt to nest on. */
function nesting(release: Release): {
  readonly fd: Iommufd;
  readonly idev: number;
  readonly ioas: number;
} {
  const fd = worldOf(release).open();
  const ioas = ioasAlloc(fd);
  return { fd, idev: mock(fd, ioas, t.MOCK_FLAGS_DEVICE_PASID).idev, ioas };
}
const faultQueue = (fd: Iommufd): number =>
  fd.must(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, {}).out_fault_id;

interface FlagRow {
  readonly name: string;
  readonly flags: number;
  readonly since: Release;
}
const flag = (name: string, flags: number, since: Release): FlagRow => ({ name, flags, since });
const PAGING: readonly FlagRow[] = [
  flag('NEST_PARENT', NEST_PARENT, '6.7'),
  flag('DIRTY_TRACKING', uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING, '6.7'),
  flag('FAULT_ID_VALID', uapi.IOMMU_HWPT_FAULT_ID_VALID, '6.13'),
  flag('PASID', uapi.IOMMU_HWPT_ALLOC_PASID, '6.14'),
];
const NESTED: readonly FlagRow[] = [
  flag('FAULT_ID_VALID', uapi.IOMMU_HWPT_FAULT_ID_VALID, '6.11'),
  flag('PASID', uapi.IOMMU_HWPT_ALLOC_PASID, '6.14'),
];

/** A refusal of a flag by a kernel that is too old for it, or success. */
function expectFlag(row: FlagRow, release: Release, call: () => number | Errno): void {
  const { result, refusal } = first(call);
  if (isSince(release, row.since)) {
    expect(isErrno(result)).toBe(false);
    return;
  }
  expect(result).toBe(EOPNOTSUPP);
  expect(refusal).toMatchObject({
    rule: 'the flag is of a later kernel',
    facts: { flag: row.name, kernel: release, since: row.since },
  });
}
const from = (since: Release): Release[] => RELEASES.filter((release) => isSince(release, since));

describe('flags', () => {
  describe.each(PAGING)('HWPT_ALLOC on an IOAS: $name since $since', (row) => {
    test.for(from('6.6'))(
      'a flag of HWPT_ALLOC on an IOAS is known in its releases: %s',
      (release) => {
        const { fd, idev, ioas } = nesting(release);
        const isFault = row.name === 'FAULT_ID_VALID';
        const fault = isFault && isSince(release, '6.11') ? { fault_id: faultQueue(fd) } : {};
        expectFlag(row, release, () => hwptAlloc(fd, idev, ioas, { flags: row.flags, ...fault }));
      },
    );
  });
  describe.each(NESTED)('HWPT_ALLOC, nested: $name since $since', (row) => {
    test.for(from('6.7'))(
      'a flag of HWPT_ALLOC, nested, is known in its releases: %s',
      (release) => {
        const { fd, idev, ioas } = nesting(release);
        const parent = must(hwptAlloc(fd, idev, ioas, { flags: NEST_PARENT }));
        const isFault = row.name === 'FAULT_ID_VALID';
        const fault = isFault && isSince(release, '6.11') ? { fault_id: faultQueue(fd) } : {};
        const data = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };
        const call = () => hwptAlloc(fd, idev, parent, { flags: row.flags, ...data, ...fault });
        expectFlag(row, release, call);
      },
    );
  });
  test.for(from('6.14'))('HWPT_ALLOC, nested on a vIOMMU, takes PASID in %s', (release) => {
    const { fd, idev, ioas } = nesting(release);
    const hwpt_id = must(hwptAlloc(fd, idev, ioas, { flags: NEST_PARENT }));
    const type = t.IOMMU_VIOMMU_TYPE_SELFTEST;
    const values = { type, dev_id: idev, hwpt_id };
    const viommu = fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, values);
    const data = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };
    const flags = uapi.IOMMU_HWPT_ALLOC_PASID;
    const made = hwptAlloc(fd, idev, viommu.out_viommu_id, { flags, ...data });
    expect(isErrno(made)).toBe(false);
  });
  test('HWPT_ALLOC, nested on a vIOMMU, takes no PASID in 6.13', () => {
    const { fd, idev, ioas } = nesting('6.13');
    const hwpt_id = must(hwptAlloc(fd, idev, ioas, { flags: NEST_PARENT }));
    const values = { type: t.IOMMU_VIOMMU_TYPE_SELFTEST, dev_id: idev, hwpt_id };
    const viommu = fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, values);
    const data = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };
    const flags = uapi.IOMMU_HWPT_ALLOC_PASID;
    expect(hwptAlloc(fd, idev, viommu.out_viommu_id, { flags, ...data })).toBe(EOPNOTSUPP);
    expect(isErrno(hwptAlloc(fd, idev, viommu.out_viommu_id, data))).toBe(false);
  });
  test.for(from('6.6'))('GET_HW_INFO takes INPUT_TYPE in %s', (release) => {
    const { fd, idev } = nesting(release);
    const values = { dev_id: idev, flags: uapi.IOMMU_HW_INFO_FLAG_INPUT_TYPE };
    const row = flag('INPUT_TYPE', uapi.IOMMU_HW_INFO_FLAG_INPUT_TYPE, '6.17');
    expectFlag(row, release, () => {
      const out = fd.call(uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, values);
      return isErrno(out) ? out : 0;
    });
  });
});

describe('GET_HW_INFO', () => {
  const PASID_CAPS = uapi.IOMMU_HW_CAP_PCI_PASID_EXEC | uapi.IOMMU_HW_CAP_PCI_PASID_PRIV;
  const LATER = PASID_CAPS | uapi.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED;

  test.for(from('6.7'))(
    'GET_HW_INFO of a device with PASIDs and without ATS tells what it told in %s',
    (release) => {
      const { fd, add } = deviceRig({}, worldOf(release));
      const dev = add({ pasidBits: 10, pasidExec: true, pasidPriv: true });
      const idev = must(deviceBind(ctxFromFile(fd.file)!, dev));
      const get = (out_max_pasid_log2: number) =>
        fd.call(uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, {
          dev_id: idev.id,
          out_max_pasid_log2,
        });
      const out = must(get(0));
      const tells = isSince(release, '6.13');
      expect(out.out_capabilities & LATER).toBe(tells ? LATER : 0n);
      expect(out.out_max_pasid_log2).toBe(tells ? 10 : 0);
      // The byte was among the reserved ones.
      const { result, refusal } = first(() => get(1));
      if (tells) expect(isErrno(result)).toBe(false);
      else {
        expect(result).toBe(EOPNOTSUPP);
        expect(refusal?.facts).toMatchObject({ field: 'out_max_pasid_log2', kernel: release });
      }
    },
  );
});

test.for(IOMMUFD_RELEASES)('mmap of an iommufd is what it was in %s', (release) => {
  const fd = worldOf(release).open();
  const request = { offset: 0n, length: 4096n, read: true, write: true, exec: false, shared: true };
  const { result, refusal } = first(() => fd.file.ops.mmap!(fd.file, fd.task, request));
  if (isSince(release, '6.17')) expect(result).toBe(ENXIO);
  else {
    expect(result).toBe(ENODEV);
    expect(refusal?.facts).toEqual({ kernel: release, since: '6.17' });
  }
});

describe('errnos of 6.12 and before', () => {
  test.for(IOMMUFD_RELEASES)('MAP of 2^64-2 bytes has the errno of %s', (release) => {
    const fd = worldOf(release).open();
    const errno = isSince(release, '6.13') ? EOVERFLOW : EINVAL;
    expect(map(fd, ioasAlloc(fd), BUFFER, U64_MAX - 1n)).toBe(errno);
    // Where nothing wraps all agree, and so they do where only the range wraps.
    expect(map(fd, ioasAlloc(fd), 0n, U64_MAX - 1n)).toBe(EINVAL);
    expect(map(fd, ioasAlloc(fd), U64_MAX, 4096n)).toBe(EOVERFLOW);
  });
  test.for(from('6.7'))(
    'GET_DIRTY_BITMAP of an empty range is EINVAL in %s as in all',
    (release) => {
      const { fd, idev, ioas } = nesting(release);
      const flags = uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
      const hwpt_id = must(hwptAlloc(fd, idev, ioas, { flags }));
      const call = (iova: bigint) => {
        const values = { hwpt_id, iova, length: 0n, page_size: 4096n, data: ARRAY };
        const out = fd.call(
          uapi.IOMMU_HWPT_GET_DIRTY_BITMAP,
          uapi.iommu_hwpt_get_dirty_bitmap,
          values,
        );
        return isErrno(out) ? out : 0;
      };
      expect([call(0n), call(4096n)]).toEqual([EINVAL, EINVAL]);
    },
  );
  test.for(from('6.8'))(
    'HWPT_INVALIDATE of what is no nested hwpt has the errno of %s',
    (release) => {
      const { fd, idev, ioas } = nesting(release);
      const paging = must(hwptAlloc(fd, idev, ioas));
      const errno = isSince(release, '6.13') ? EINVAL : ENOENT;
      for (const hwpt_id of [ioas, paging, idev]) {
        const cmd = uapi.IOMMU_HWPT_INVALIDATE;
        expect(fd.call(cmd, uapi.iommu_hwpt_invalidate, { hwpt_id })).toBe(errno);
      }
    },
  );
  test.for(from('6.7'))('a nested domain that cannot invalidate has the errno of %s', (release) => {
    const { fd, driver, bind, ioas } = deviceRig({}, worldOf(release));
    withoutNestedCaches(driver);
    const idev = must(bind());
    const parent = must(hwptAlloc(fd, idev.id, ioas, { flags: NEST_PARENT }));
    const data = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };
    const domains = fd.world.core.domains.size;
    const made = hwptAlloc(fd, idev.id, parent, data);
    expect(isErrno(made) ? made : undefined).toBe(isSince(release, '6.13') ? undefined : EINVAL);
    expect(fd.world.core.domains.size).toBe(domains + (isErrno(made) ? 0 : 1));
  });
});

describe('machines', () => {
  const machineOf = (version: string, more: object = {}): Machine => {
    const devices = [{ type: 'edu', at: '0000:00:04.0' }];
    const made = createMachine({ kernel: { version, with: [], ...more }, devices });
    if ('problems' in made) throw new Error(made.problems[0]!.message);
    return made.machine;
  };
  test('a kernel before iommufd cannot open /dev/iommu, and has no cdev', () => {
    const machine = machineOf('5.8');
    const { result, refusal } = first(() => machine.program().open('/dev/iommu'));
    expect(result).toBe(ENODEV);
    expect(refusal?.facts).toEqual({ kernel: '5.8', since: '6.2' });
    expect(machine.program().readdir('/dev/vfio')).not.toContain('devices');
    machine.close();
  });
  test.for(RELEASES)('cdevs came with 6.6: %s', (release) => {
    const machine = machineOf(release);
    const names = must(machine.program().readdir('/dev/vfio'));
    expect(names.includes('devices')).toBe(isSince(release, '6.6'));
    expect(names).toContain('0');
    machine.close();
  });
  test('a trait can be taken away: a 6.12 with the later check of 6.13', () => {
    const machine = machineOf('6.12', { without: ['hwpt-invalidate-nested-only'] });
    expect(machine.env.has('hwpt-invalidate-nested-only')).toBe(false);
    expect(machine.env.has('map-length-first')).toBe(true);
    machine.close();
  });
  test('without a word the release is the newest, which knows everything', () => {
    const machine = machineOf(NEWEST_RELEASE);
    const { abi } = machine.iommufd;
    const structs = SIZES.map(([, struct]) => abi.laterFields(struct));
    expect(structs.flat()).toEqual([]);
    const places = [abi.pagingFlags, abi.nestedFlags, abi.hwInfoFlags, abi.hwCapabilities];
    expect(places.map(({ bits }) => bits)).toEqual([0, 0, 0, 0]);
    expect(new Machine().env.release).toBe(NEWEST_RELEASE);
    expect(openIommufd(machine.iommufd).ops).toBe(openIommufd(machine.iommufd).ops);
    machine.close();
  });
});

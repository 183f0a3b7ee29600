/**
 * docs/abi.md: every ioctl of /dev/iommu and /dev/vfio, its struct, and its state here.
 *
 * Numbers, structs and sizes come from the tables that serve the calls. Whether VFIO serves a command is asked of a
 * machine: what answers ENOTTY is not there. `--check` fails when the page is stale.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { ENOTTY } from '../src/base/errno.ts';
import { listening } from '../src/base/refuse.ts';
import { IOCTLS } from '../src/iommufd/main.ts';
import { Machine, type Program } from '../src/index.ts';
import { RELEASES } from '../src/base/kernel-release.ts';
import { KERNEL_TRAITS } from '../src/base/kernel-traits.ts';
import { VFIO_COMMANDS } from '../src/uapi/decode.ts';
import { TRAIT_SPANS, type Span } from '../src/machine/description/releases.ts';
import {
  COMMANDS_SINCE,
  FIELDS_SINCE,
  FLAGS_SINCE,
  MMAP_SINCE,
  type Since,
} from '../src/uapi/iommufd-since.ts';
import * as iommufd from '../src/uapi/index.ts';
import * as vfio from '../src/uapi/vfio.ts';

const OUT = 'docs/abi.md';
const EDU = '0000:00:04.0';

interface Row {
  readonly nr: number;
  readonly name: string;
  readonly struct: string;
  readonly size: string;
  readonly min: string;
  readonly since: string;
  readonly state: string;
}

/** What is served in part, and which part. */
const PARTLY: Readonly<Record<string, string>> = {
  IOMMU_GET_HW_INFO: 'partly: Intel VT-d, and the mock',
  IOMMU_HWPT_ALLOC: 'partly: data of Intel VT-d stage 1, and of the mock',
  IOMMU_HWPT_INVALIDATE: 'partly: Intel VT-d stage 1, and the mock',
  IOMMU_VIOMMU_ALLOC: 'partly: only the mock has vIOMMUs',
  IOMMU_VDEVICE_ALLOC: 'partly: only the mock has vIOMMUs',
  IOMMU_VEVENTQ_ALLOC: 'partly: only the mock has vIOMMUs',
  IOMMU_HW_QUEUE_ALLOC: 'partly: only the mock has hardware queues',
  IOMMU_TEST_CMD: 'done, with `--selftest`',
};

// --- /dev/iommu ---

const IOMMUFD_NAMES = new Map(
  Object.entries(iommufd)
    .filter(([name, value]) => typeof value === 'number' && /^IOMMU_[A-Z_]+$/.test(name))
    .map(([name, value]) => [value as number, name]),
);

function iommufdRows(): Row[] {
  return IOCTLS.map(({ command, struct, size, minSize }) => {
    const since = COMMANDS_SINCE.get(command)?.since ?? '?';
    const name = IOMMUFD_NAMES.get(command) ?? '?';
    const state = PARTLY[name] ?? 'done';
    return { nr: command, name, struct, size: `${size}`, min: `${minSize}`, since, state };
  });
}

// --- VFIO ---

const SINCE_3_6 = '3.6';
const SINCE: Readonly<Record<string, string>> = {
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: '3.12',
  VFIO_DEVICE_PCI_HOT_RESET: '3.12',
  VFIO_DEVICE_QUERY_GFX_PLANE: '4.16',
  VFIO_DEVICE_GET_GFX_DMABUF: '4.16',
  VFIO_DEVICE_IOEVENTFD: '4.17',
  VFIO_DEVICE_FEATURE: '5.7',
  VFIO_IOMMU_DIRTY_PAGES: '5.8',
  VFIO_MIG_GET_PRECOPY_INFO: '6.2',
  VFIO_DEVICE_BIND_IOMMUFD: '6.6',
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: '6.6',
  VFIO_DEVICE_DETACH_IOMMUFD_PT: '6.6',
};
const OF_CDEV = /_BIND_IOMMUFD|_IOMMUFD_PT/;

/** A file to ask, ready to serve every command of its kind. */
type Opened = (program: Program) => number;

const openType1 = (program: Program): { readonly container: number; readonly group: number } => {
  const container = program.open('/dev/vfio/vfio');
  const group = program.open('/dev/vfio/0');
  const fd = new Uint8Array(Int32Array.of(container).buffer);
  program.ioctl(group, vfio.VFIO_GROUP_SET_CONTAINER, fd);
  program.ioctl(container, vfio.VFIO_SET_IOMMU, vfio.VFIO_TYPE1v2_IOMMU);
  return { container, group };
};
const openContainer: Opened = (program) => openType1(program).container;
const openGroup: Opened = (program) => openType1(program).group;
const openDevice: Opened = (program) => {
  const name = new TextEncoder().encode(`${EDU}\0`);
  return program.ioctl(openType1(program).group, vfio.VFIO_GROUP_GET_DEVICE_FD, name);
};
const openCdev: Opened = (program) => {
  const device = program.open('/dev/vfio/devices/vfio0');
  const iommufd = program.open('/dev/iommu');
  const bind = vfio.vfio_device_bind_iommufd.make({ iommufd });
  program.ioctl(device, vfio.VFIO_DEVICE_BIND_IOMMUFD, bind);
  return device;
};
const openUnboundCdev: Opened = (program) => program.open('/dev/vfio/devices/vfio0');

const openCompat: Opened = (program) => {
  const fd = program.open('/dev/iommu');
  const ioas = iommufd.iommu_ioas_alloc.make();
  program.ioctl(fd, iommufd.IOMMU_IOAS_ALLOC, ioas);
  const set = { ioas_id: ioas.out_ioas_id, op: iommufd.IOMMU_VFIO_IOAS_SET };
  program.ioctl(fd, iommufd.IOMMU_VFIO_IOAS, iommufd.iommu_vfio_ioas.make(set));
  return fd;
};

/** A machine whose device has all that a device can have of a migration. */
const migrating = (): Program =>
  new Machine({
    devices: [{ type: 'edu', at: EDU, options: { pcie: true }, migration: 'pre-copy' }],
  }).program();
const openDataFd: Opened = (program) => {
  const device = openCdev(program);
  const { address, bytes } = program.alloc(4096);
  const set = vfio.VFIO_DEVICE_FEATURE_SET | vfio.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
  const state = bytes.subarray(8, 16);
  bytes.set(vfio.vfio_device_feature.make({ argsz: 16, flags: set }).bytes);
  const { bytes: wanted } = vfio.vfio_device_feature_mig_state.make({
    device_state: vfio.VFIO_DEVICE_STATE_PRE_COPY,
  });
  state.set(wanted);
  program.kernel.ioctl(device, vfio.VFIO_DEVICE_FEATURE, address);
  return vfio.vfio_device_feature_mig_state.view(state).data_fd;
};

interface Asked {
  readonly served: boolean;
  /** Smallest argsz, from the refusal of 0. */
  readonly min: string;
}

/** Send the command with a struct of zeros: an argsz that is too small is refused with the smallest one. */
function ask(open: Opened, command: number): Asked {
  const program = open === openDataFd ? migrating() : new Machine('preset:default').program();
  const fd = open(program);
  const { address, bytes } = program.alloc(4096);
  const words = new DataView(bytes.buffer, bytes.byteOffset);
  let min = 0;
  let served: boolean | undefined;
  for (;;) {
    let wanted = min;
    words.setUint32(0, min, true);
    const result = listening(
      ({ facts }) => (wanted = Number(facts['min'] ?? facts['minSize'] ?? wanted)),
      () => program.kernel.ioctl(fd, command, address),
    );
    served ??= result !== ENOTTY;
    if (wanted <= min) return { served, min: min === 0 ? '–' : String(min) };
    min = wanted;
  }
}

function vfioRows(kind: keyof typeof VFIO_COMMANDS, open: Opened, only = /./): Row[] {
  return [...VFIO_COMMANDS[kind]]
    .filter(([, { name }]) => only.test(name))
    .sort(([a], [b]) => a - b)
    .map(([nr, { name, layout }]) => {
      const asked = ask(name.includes('BIND_IOMMUFD') ? openUnboundCdev : open, nr);
      return {
        nr,
        name,
        struct: layout?.cName ?? '–',
        size: layout ? String(layout.size) : '–',
        min: asked.min,
        since: SINCE[name] ?? SINCE_3_6,
        state: asked.served ? served(name) : 'not: ENOTTY',
      };
    });
}

function served(name: string): string {
  return name === 'VFIO_DEVICE_FEATURE'
    ? `done: features ${features().join(', ')}, some of them of devices with migration; others ENOTTY`
    : 'done';
}

/** Features of a vfio-pci device that a PROBE finds, where it migrates. */
function features(): string[] {
  const program = migrating();
  const device = openCdev(program);
  return Object.entries(vfio)
    .filter(([name]) => /^VFIO_DEVICE_FEATURE_(?!GET|SET|PROBE|MASK)/.test(name))
    .filter(([, index]) => {
      const probe = vfio.VFIO_DEVICE_FEATURE_PROBE | (index as number);
      const { address, bytes } = program.alloc(4096);
      bytes.set(vfio.vfio_device_feature.make({ flags: probe }).bytes);
      return program.kernel.ioctl(device, vfio.VFIO_DEVICE_FEATURE, address) === 0;
    })
    .map(([name]) => name.slice('VFIO_DEVICE_FEATURE_'.length));
}

// --- older kernels ---

/** What is the same whatever the release: the specification tells too little, or it is not modelled. */
const SAME_IN_ALL: readonly (readonly [what: string, why: string])[] = [
  [
    'which check comes first, where nothing above says so',
    'the specification knows the order of 7.3, and of 6.12 where it was seen to differ',
  ],
  [
    '`IOMMU_HWPT_ALLOC` of 6.6: a `pt_id` that is no IOAS',
    'answered as by 7.3: the specification does not tell',
  ],
  [
    '`IOMMU_HWPT_ALLOC`: user data for a hwpt on an IOAS',
    'left to the driver, as in 7.3; new since 6.12, the errno before is not told',
  ],
  [
    '`IOMMU_HWPT_INVALIDATE`: bounds of `entry_len` and `entry_num`',
    'absent in the first 6.12, but in its later stable releases',
  ],
  [
    '`IOMMU_IOAS_MAP_FILE` of a dma-buf',
    'came after the command, the release is not told; dma-bufs of vfio-pci exist since 7.3 only',
  ],
  [
    'attach: a second attach of the same device is EBUSY; a VF with PRI takes no hwpt with a fault queue',
    'new since 6.12; the first cannot be reached by a program, of the second the release is not told',
  ],
  [
    'PASIDs and tokens of VFIO bind, attach and detach; ERR interrupts of conventional functions; a line in fdinfo',
    'new since 6.12, the release is not told',
  ],
  [
    'type1: a mapping that ends at 2^64',
    'found by every unmap, as in 7.3; 6.12 lost it, and others with it',
  ],
  [
    'doorbells: fixed pages per iommufd',
    '6.12 had a cookie per domain; which IOVA it gives is not modelled',
  ],
  ['`IOMMU_TEST_CMD` and the mock driver behind it', 'those of 7.3, which its test program needs'],
  ['VFIO, but for the traits of this page', 'as in 7.3'],
  [
    'the node `/dev/iommu`',
    "is there before 6.2 too, and opening it is ENODEV: without it the host's own would show through",
  ],
  ['uname(2) and `/proc/version`', "the host's"],
];

const HOW_OLD = `Of the commands above, a machine's kernel serves those it is new enough for. \`kernel: { version: '6.12' }\` in a machine's
description chooses one of ${RELEASES.join(', ')}: every
other version behaves as the one before it. A trait is added by \`with:\` and taken away by \`without:\` (a 6.12 with a backport).
An unknown command is ENOTTY, an unknown flag EOPNOTSUPP, and what is not 0 beyond the struct of that kernel E2BIG, or
EOPNOTSUPP in a reserved field; the refusal names the release that has it.
The releases are those of [the specification](linux/iommufd.md), some of them approximate. Where it knows only 6.12 and
7.3, what changed in between changes with 6.13 here ("6.13 or later").`;

function joined(since: Since): string {
  return since.endsWith('?') ? `${since.slice(0, -1)} or later` : since;
}
function span({ since, before }: Span): string {
  if (!since) return `before ${before ?? '?'}`;
  return before ? `since ${since}, before ${before}` : `since ${since}`;
}
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function olderKernels(): string {
  const fields = FIELDS_SINCE.map(({ struct, field, since, before }) => [
    `\`${struct}.${field}\``,
    joined(since),
    before === 'shorter' ? 'the struct ends before it' : 'a reserved byte, and 0',
  ]);
  const flags = Object.entries(FLAGS_SINCE).flatMap(([place, rows]) =>
    rows.map(({ name, since }) => [
      `${place}: \`${name}\``,
      joined(since),
      place.includes('out_') ? 'not told' : 'EOPNOTSUPP',
    ]),
  );
  const members = [...fields, ...flags, ['mmap(2) of the file', MMAP_SINCE, 'ENODEV']];
  const traits = Object.entries(TRAIT_SPANS).map(([trait, releases]) => [
    `\`${trait}\``,
    span(releases),
    KERNEL_TRAITS[trait as keyof typeof TRAIT_SPANS],
  ]);
  return [
    '## Older kernels',
    HOW_OLD,
    'What joined a command later than the command itself:',
    table(['what', 'since', 'before'], members),
    'What differs besides, by the name to use in `with:` and `without:`:',
    table(['trait', 'kernels', 'what'], traits),
    'What is the same whatever the version says:',
    table(['what', 'why'], SAME_IN_ALL),
  ].join('\n\n');
}

// --- the page ---

const HEAD =
  '| number | command | struct | size | smallest | since | here |\n| --- | --- | --- | --- | --- | --- | --- |';

function section(title: string, about: string, rows: readonly Row[]): string {
  const lines = rows.map(
    ({ nr, name, struct, size, min, since, state }) =>
      `| 0x${nr.toString(16)} | ${name} | ${struct} | ${size} | ${min} | ${since} | ${state} |`,
  );
  return `## ${title}\n\n${about}\n\n${HEAD}\n${lines.join('\n')}\n`;
}

const compat = vfioRows('container', openCompat);
const page = [
  '# Every ioctl\n\nGenerated by `npx tsx scripts/list-abi.ts` from the tables that serve them. Do not edit.\n',
  'Sizes are bytes: of the struct as declared here, and the smallest that is accepted. Since: the first Linux with the command.\n',
  section('/dev/iommu', 'The struct begins with its size.', iommufdRows()),
  section(
    '/dev/vfio/vfio: a container',
    'With VFIO_TYPE1v2_IOMMU. The struct begins with argsz.',
    vfioRows('container', openContainer),
  ),
  section(
    '/dev/vfio/vfio served by iommufd, and /dev/iommu',
    'The same commands on an IOAS.',
    compat,
  ),
  section('/dev/vfio/GROUP', 'One group.', vfioRows('group', openGroup)),
  section('A device from a group', 'vfio-pci.', vfioRows('device', openDevice, /^(?!.*IOMMUFD)/)),
  section(
    '/dev/vfio/devices/vfioN',
    'The commands above, and:',
    vfioRows('device', openCdev, OF_CDEV),
  ),
  section(
    'The data fd of a migration',
    'Of devices with PRE_COPY.',
    vfioRows('migration', openDataFd),
  ),
  `${olderKernels()}\n`,
].join('\n');

if (process.argv.includes('--check')) {
  const isFresh = existsSync(OUT) && readFileSync(OUT, 'utf8') === page;
  if (!isFresh) console.error(`${OUT} is stale: npx tsx scripts/list-abi.ts`);
  process.exitCode = isFresh ? 0 : 1;
} else {
  writeFileSync(OUT, page);
}

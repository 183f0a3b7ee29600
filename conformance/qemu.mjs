// `npm run conformance -- qemu`: Debian's QEMU, unmodified, on an NVMe controller by its own VFIO driver (nvme://).
// A row is what is done with one disk: each step is a run of its own, and its output must say something.
import { createHash } from 'node:crypto';
import { chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn, spawnSync } from 'node:child_process';
import { needPackages } from './debian.mjs';
import { GUEST_PACKAGES, guestCommand, guestInitrd, guestKernel } from './guest.mjs';
import { reportRows } from './reports.mjs';
import { runRows } from './rows.mjs';

const SOFTIOMMU = new URL('../dist/cli/main.js', import.meta.url).pathname;
const NEEDED = { 'qemu-utils': 'qemu-img, qemu-io', ...GUEST_PACKAGES };
/** A step that is not over by then has failed. */
const LIMIT_MS = 120_000;
const MIB = 2 ** 20;
const SIZE = 32 * MIB;

const AT = '0000:00:05.0';
const DISK = `nvme://${AT}/1`;
const MEMORY = ['--device', `nvme,bdf=${AT},size_mib=${SIZE / MIB}`];
const onFile = (mode) => [
  ...['--block', `d0,file=disk.raw${mode ? `,mode=${mode}` : ''}`],
  ...['--device', `nvme,bdf=${AT},drives=d0`],
];
const io = (...commands) => ['qemu-io', ...commands.flatMap((text) => ['-c', text])];
const onDisk = ([program, ...args], ...more) => [program, '-f', 'raw', ...more, ...args, DISK];
const bench = (...more) => [
  'qemu-img',
  'bench',
  '-f',
  'raw',
  '-d',
  '32',
  '-s',
  '4096',
  ...more,
  DISK,
];
/** Steps: the machine's flags, the program, what it says; `exit` where it is not 0, `kill` for its end by then. */
const step = (flags, program, says = [], more = {}) => ({ flags, program, says, ...more });

const ROWS = [
  {
    name: 'qemu-io: patterns, zeros, discard, flush',
    steps: [
      step(
        MEMORY,
        onDisk(
          io(
            ...[
              'write -P 0x5a 0 64k',
              'read -P 0x5a 0 64k',
              'write -z 64k 64k',
              'read -P 0 64k 64k',
            ],
            ...[
              'discard 0 64k',
              'read -P 0 0 64k',
              'write -P 7 512 1536',
              'read -P 7 1k 1k',
              'flush',
            ],
          ),
        ),
        ['wrote 65536/65536 bytes at offset 0', 'discard 65536/65536 bytes at offset 0'],
      ),
    ],
  },
  {
    name: 'qemu-io: large, unaligned and vectored requests',
    steps: [
      step(
        MEMORY,
        onDisk(
          io(
            ...['write -P 1 0 5M', 'read -P 1 0 5M', 'write -P 2 3584 9k', 'read -P 2 3584 9k'],
            ...['writev -P 3 1M 4k 64k 512 1M', 'readv -P 3 1M 512 1M 64k 4k'],
            ...['aio_write -P 4 8M 1M', 'aio_write -P 5 9M 1M', 'aio_flush', 'read -P 5 9M 1M'],
          ),
        ),
        ['read 9216/9216 bytes at offset 3584'],
      ),
    ],
  },
  {
    name: 'qemu-io: a wrong pattern is seen',
    steps: [
      step(
        MEMORY,
        onDisk(io('write -P 1 0 4k', 'read -P 2 0 4k')),
        ['Pattern verification failed'],
        {
          exit: 1,
        },
      ),
    ],
  },
  {
    name: 'qemu-io: without a cache (J15)',
    steps: [
      step(MEMORY, onDisk(io('write -P 9 0 4k', 'read -P 9 0 4k'), '-t', 'none'), [
        'read 4096/4096',
      ]),
    ],
  },
  {
    name: 'qemu-io: blocks of 4096 bytes',
    steps: [
      step(
        ['--device', `nvme,bdf=${AT},block_size=4096`],
        onDisk(io('write -P 9 0 64k', 'read -P 9 4k 4k')),
        ['read 4096/4096'],
      ),
    ],
  },
  {
    name: 'qemu-io: a namespace there is not (J16)',
    steps: [
      step(
        MEMORY,
        ['qemu-io', '-f', 'raw', '-c', 'read 0 4k', `nvme://${AT}/9`],
        ['nvalid namespace'],
        {
          exit: 1,
        },
      ),
    ],
  },
  {
    name: 'qemu-img: info, convert, compare (J13)',
    steps: [
      step(onFile(), ['qemu-img', 'info', DISK], ['virtual size: 32 MiB']),
      step(onFile(), ['qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', 'a.raw', DISK]),
      step(
        onFile(),
        ['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', 'a.raw', DISK],
        ['Images are identical.'],
      ),
    ],
    check: (home) =>
      readFileSync(join(home, 'a.raw')).equals(readFileSync(join(home, 'disk.raw')))
        ? undefined
        : 'the file is not what was converted to it',
  },
  {
    name: 'qemu-img: copy-on-write leaves the file alone',
    steps: [
      step(onFile('copy-on-write'), onDisk(io('write -P 3 1M 1M', 'read -P 3 1M 1M')), [
        'read 1048576',
      ]),
    ],
    check: (home) =>
      readFileSync(join(home, 'disk.raw')).every((byte) => byte === 0)
        ? undefined
        : 'the file has changed',
  },
  {
    name: 'qemu-img: a read-only file is not written',
    steps: [
      step(onFile('read-only'), onDisk(io('write -P 3 0 4k')), ['Input/output error'], { exit: 1 }),
      step(onFile('read-only'), onDisk(io('read -P 0 0 4k'), '-r'), ['read 4096/4096']),
    ],
  },
  {
    name: 'qemu-img: bench, reads (J14)',
    steps: [step(MEMORY, bench('-c', '5000'), ['Run completed in'])],
    says: (out) => `${Math.round(5000 / Number(/completed in ([\d.]+)/.exec(out)?.[1]))} a second`,
  },
  {
    name: 'qemu-img: bench, writes (J14)',
    steps: [step(MEMORY, bench('-c', '5000', '-w'), ['Run completed in'])],
    says: (out) => `${Math.round(5000 / Number(/completed in ([\d.]+)/.exec(out)?.[1]))} a second`,
  },
  {
    name: 'qemu-img: bench, writes to a file with flushes',
    steps: [step(onFile(), bench('-c', '2000', '-w', '--flush-interval=64'), ['Run completed in'])],
  },
  {
    name: 'qemu-img: killed in the middle, and again',
    steps: [
      step(onFile(), bench('-c', '1000000', '-w'), [], { kill: 4, exit: 137 }),
      step(onFile(), ['qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', 'a.raw', DISK]),
      step(
        onFile(),
        ['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', 'a.raw', DISK],
        ['Images are identical.'],
      ),
    ],
  },
  {
    name: 'qemu-img: killed, and opened again in the same machine',
    steps: [
      step(
        MEMORY,
        [
          'sh',
          '-c',
          'timeout -s KILL 3 "$@"; exec qemu-io -f raw -c "write -P 6 0 1M" -c "read -P 6 0 1M" $0',
          ...[DISK, ...bench('-c', '1000000', '-w')],
        ],
        ['read 1048576/1048576'],
      ),
    ],
  },
];

/** A guest mounts a file system of the disk, writes and says what; its files are the same from outside. */
const GUEST = {
  name: 'guest: Linux mounts the disk and writes (J18)',
  prepare(home) {
    spawnSync('/sbin/mkfs.ext4', ['-q', '-F', join(home, 'disk.raw')]);
    guestInitrd(join(home, 'initrd'), [
      'n=0; while [ ! -b /dev/nvme0n1 ] && [ $n -lt 60 ]; do sleep 1; n=$((n+1)); done',
      'mount -t ext4 /dev/nvme0n1 /mnt && dd if=/dev/urandom of=/mnt/file bs=64k count=64',
      'sync; md5sum /mnt/file; umount /mnt && echo guest: unmounted',
    ]);
  },
  steps: [],
  check(home, out) {
    const disk = join(home, 'disk.raw');
    const inside = /([0-9a-f]{32})  \/mnt\/file/.exec(out)?.[1];
    const { stdout } = spawnSync('/sbin/debugfs', ['-R', 'cat /file', disk], { maxBuffer: SIZE });
    const outside = createHash('md5').update(stdout).digest('hex');
    if (inside !== outside) return `the guest wrote ${inside}, and ${outside} is on the disk`;
    const fsck = spawnSync('/sbin/e2fsck', ['-fn', disk], { encoding: 'utf8' });
    return fsck.status === 0 ? undefined : `e2fsck: ${fsck.stdout}`;
  },
};

export async function qemu(options) {
  if (!needPackages(NEEDED, options.install)) return 2;
  const says = ['nvme nvme0: pci function', 'default/read/poll queues', 'guest: unmounted'];
  const guest = guestCommand(guestKernel(), 'initrd', [AT]);
  const all = [...ROWS, { ...GUEST, steps: [step(onFile(), guest, says)] }];
  const results = await runRows('qemu', all, (row, user) => outcome(row, user, options), options);
  return reportRows(results, options);
}

/** The reason why not, or what it says of itself. */
async function outcome(row, user, options) {
  const home = mkdtempSync(join(tmpdir(), 'conformance-qemu-'));
  try {
    const pattern = Buffer.alloc(SIZE);
    for (let at = 0; at < SIZE; at += 4096) pattern.writeUInt32LE(at + 1, at);
    writeFileSync(join(home, 'a.raw'), pattern);
    writeFileSync(join(home, 'disk.raw'), Buffer.alloc(SIZE));
    row.prepare?.(home);
    const { uid } = user.spawn;
    if (uid !== undefined)
      for (const name of ['.', 'a.raw', 'disk.raw']) chownSync(join(home, name), uid, uid);
    let last = '';
    for (const each of row.steps) {
      const { out, exit } = await run(each, home, user, options);
      const missing = each.says.find((words) => !out.includes(words));
      const first = complaint(out) ?? `exit ${exit}`;
      if (missing) return { reason: `it does not say '${missing}'; ${first}` };
      if (exit !== (each.exit ?? 0)) return { reason: `exit ${exit}; ${first}` };
      last = out;
    }
    return { reason: row.check?.(home, last), said: row.says?.(last) };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** The first line of the output that looks like a reason. */
function complaint(out) {
  const lines = out.split('\n').filter((line) => !line.includes('io_uring'));
  return lines.find((line) => /softiommu|[Ee]rror|[Cc]annot|[Ff]ail|[Cc]ould not/.test(line));
}

function run({ flags, program, kill }, home, user, options) {
  const mode = options.mode ? ['--mode', options.mode] : [];
  const pin = options.pin ? [`--pin=${options.pin}`] : [];
  const killed = kill ? ['timeout', '-s', 'KILL', String(kill)] : [];
  const args = [
    SOFTIOMMU,
    'run',
    ...mode,
    ...pin,
    ...user.flags,
    ...flags,
    '--',
    ...killed,
    ...program,
  ];
  return new Promise((resolve) => {
    const how = { cwd: home, stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...user.spawn };
    const child = spawn(process.execPath, args, { ...how, env: { ...process.env, HOME: home } });
    const limit = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), LIMIT_MS);
    let out = '';
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => (out += data));
    child.on('close', (code, signal) => {
      clearTimeout(limit);
      resolve({ out, exit: signal === 'SIGKILL' ? 137 : (signal ?? code) });
    });
  });
}

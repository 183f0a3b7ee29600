// Rows of the suite `qemu` without a guest: qemu-io and qemu-img on an NVMe controller by QEMU's own VFIO driver, nvme://.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AT, MEMORY, onFile, step } from './qemu-run.mjs';

const DISK = `nvme://${AT}/1`;
const MIB = 2 ** 20;
const io = (...commands) => ['qemu-io', ...commands.flatMap((text) => ['-c', text])];
const onDisk = ([program, ...args], ...more) => [program, '-f', 'raw', ...more, ...args, DISK];
const bench = (...more) => [
  'qemu-img',
  'bench',
  ...'-f raw -d 32 -s 4096'.split(' '),
  ...more,
  DISK,
];
const convert = ['qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', 'a.raw', DISK];
const compare = ['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', 'a.raw', DISK];
/** Waits for its end: timeout(1) kills itself at the same moment, and what it killed may have its files open still. */
const KILL = '"$@" & sleep $0; kill -9 $!; wait $!';
const killed = (seconds, program) => ['sh', '-c', KILL, String(seconds), ...program];
/** Killed when it has said the words. */
const KILL_AFTER = [
  'stdbuf -oL "$@" > console & until grep -q "$0" console; do sleep 0.2; kill -0 $! || exit 1; done',
  'kill -9 $!; wait $!; status=$?; cat console; exit $status',
].join('\n');
const killedAfter = (words, program) => ['sh', '-c', KILL_AFTER, words, ...program];
const KILLED = { exit: 137 };
const same = 'Images are identical.';

const fileIs = (expected, what) => (home) =>
  expected(home).equals(readFileSync(join(home, 'disk.raw'))) ? undefined : what;
const pattern = (home) => readFileSync(join(home, 'a.raw'));
/** Requests of a benchmark a second. */
const rate = (requests) => (out) =>
  `${Math.round(requests / Number(/completed in ([\d.]+)/.exec(out)?.[1]))} a second`;

export const DISK_ROWS = [
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
        { exit: 1 },
      ),
    ],
  },
  {
    name: 'qemu-img: info, convert, compare (J13)',
    steps: [
      step(onFile(), ['qemu-img', 'info', DISK], ['virtual size: 32 MiB']),
      step(onFile(), convert),
      step(onFile(), compare, [same]),
    ],
    check: fileIs(pattern, 'the file is not what was converted to it'),
  },
  {
    name: 'qemu-img: compare finds the one byte that differs',
    steps: [
      step(onFile(), convert),
      step(onFile(), onDisk(io('write -P 0xff 5M 512', 'flush'))),
      step(onFile(), compare, ['Content mismatch at offset 5242880!'], { exit: 1 }),
    ],
  },
  {
    name: 'qemu-img: what is discarded is zeros, and all else as it was',
    steps: [
      step(onFile(), convert),
      step(onFile(), onDisk(io('discard 1M 2M', 'read -P 0 1M 2M', 'discard 0 512', 'flush')), [
        'discard 2097152/2097152 bytes at offset 1048576',
      ]),
      step(onFile(), compare, ['Content mismatch at offset'], { exit: 1 }),
    ],
    check: fileIs(
      (home) =>
        pattern(home)
          .fill(0, 0, 512)
          .fill(0, MIB, 3 * MIB),
      'the file is another',
    ),
  },
  {
    name: 'qemu-img: copy-on-write leaves the file alone',
    steps: [
      step(onFile('copy-on-write'), onDisk(io('write -P 3 1M 1M', 'read -P 3 1M 1M')), [
        'read 1048576',
      ]),
    ],
    check: fileIs((home) => Buffer.alloc(pattern(home).length), 'the file has changed'),
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
    says: rate(5000),
  },
  {
    name: 'qemu-img: bench, writes (J14)',
    steps: [step(MEMORY, bench('-c', '5000', '-w'), ['Run completed in'])],
    says: rate(5000),
  },
  {
    name: 'qemu-img: bench, writes to a file with flushes',
    steps: [step(onFile(), bench('-c', '2000', '-w', '--flush-interval=64'), ['Run completed in'])],
  },
  {
    name: 'qemu-img: killed in the middle, and again',
    steps: [
      step(onFile(), killed(4, bench('-c', '1000000', '-w')), [], KILLED),
      step(onFile(), convert),
      step(onFile(), compare, [same]),
    ],
  },
  {
    name: 'qemu-img: convert killed in the middle, and again',
    steps: [
      step(onFile(), killed(1.5, [...convert, '-r', '4M']), [], KILLED),
      step(onFile(), convert),
      step(onFile(), compare, [same]),
    ],
    check: fileIs(pattern, 'the file is not what was converted to it'),
  },
  {
    name: 'qemu-io: what was flushed before it is killed is there',
    steps: [
      step(
        onFile(),
        killedAfter(
          'wrote 1048576/1048576',
          onDisk(io('write -P 0x77 4M 2M', 'flush', 'write -P 1 16M 1M', 'sleep 60000')),
        ),
        ['wrote 2097152/2097152 bytes at offset 4194304'],
        KILLED,
      ),
      step(onFile(), onDisk(io('read -P 0x77 4M 2M', 'discard 4M 1M', 'read -P 0x77 5M 1M')), [
        'read 1048576/1048576 bytes at offset 5242880',
      ]),
    ],
  },
  {
    name: 'qemu-img: killed, and opened again in the same machine',
    steps: [
      step(
        MEMORY,
        [
          ...[
            'sh',
            '-c',
            `${KILL}; exec qemu-io -f raw -c "write -P 6 0 1M" -c "read -P 6 0 1M" ${DISK}`,
          ],
          ...['3', ...bench('-c', '1000000', '-w')],
        ],
        ['read 1048576/1048576'],
      ),
    ],
  },
];

// Rows of the suite `qemu` with a guest: Debian's kernel, without KVM, and its own drivers on functions of the machine by
// vfio-pci. The script of a guest says `guest: …` of what it has done, and `guest: error: …` is the row's reason.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { guestCommand, guestInitrd } from './guest.mjs';
import { builtModule } from './guest-modules.mjs';
import { AT, onFile, SIZE, step } from './qemu-run.mjs';

/** Without KVM a guest has some hundredths of a processor's speed, and its host may be busy. */
const LIMIT_MS = 600_000;
const [A, B] = ['0000:00:06.0', '0000:00:07.0'];
const passed = (...functions) => functions.map((at) => `vfio-pci,host=${at}`);
const ports = (type, options = '') => [
  ...['--device', `${type},bdf=${A},mac=02:00:00:00:00:0a,wire=${B}${options}`],
  ...['--device', `${type},bdf=${B},mac=02:00:00:00:00:0b,wire=${A}${options}`],
];
const ext4 = ['ext4', 'crc32c_generic'];

/** A guest that runs `lines` on these functions: the one step of a row. */
function guest({ name, flags, lines, modules, programs, devices, says = [], ...more }) {
  const {
    append,
    machine,
    cpu,
    end = ['-no-reboot'],
    talk,
    mkfs,
    check,
    wrap,
    files = {},
    built = [],
  } = more;
  const listen = talk ? ['-qmp', 'unix:qmp,server=on,wait=off'] : [];
  const command = () => {
    const all = { initrd: 'initrd', devices, append, machine, cpu, more: [...end, ...listen] };
    return wrap ? wrap(guestCommand(all)) : guestCommand(all);
  };
  return {
    name,
    prepare(home) {
      if (mkfs) spawnSync('/sbin/mkfs.ext4', ['-q', '-F', join(home, 'disk.raw')]);
      for (const [file, text] of Object.entries(files)) writeFileSync(join(home, file), text);
      guestInitrd(join(home, 'initrd'), {
        ...{ modules, programs, lines },
        files: built.map(builtModule),
      });
    },
    get steps() {
      return [step(flags, command(), says, { talk, limitMs: LIMIT_MS })];
    },
    check,
  };
}

/** Writes 4 MiB to a new file of the file system on `disk`, and says their sum. */
const writeFile = (disk) => [
  `await [ -b ${disk} ]`,
  `mount -t ext4 ${disk} /mnt && dd if=/dev/urandom of=/mnt/file bs=64k count=64 2>/dev/null`,
  'sync; echo 3 > /proc/sys/vm/drop_caches',
  'echo guest: sum $(md5sum < /mnt/file); umount /mnt && echo guest: unmounted',
];
/** The file the guest wrote has the sum it said, and its file system is well. */
function sameOutside(home, out) {
  const disk = join(home, 'disk.raw');
  const inside = /guest: sum ([0-9a-f]{32})/.exec(out)?.[1];
  const { stdout } = spawnSync('/sbin/debugfs', ['-R', 'cat /file', disk], { maxBuffer: SIZE });
  const outside = createHash('md5').update(stdout).digest('hex');
  if (inside !== outside) return `the guest wrote ${inside}, and ${outside} is on the disk`;
  const fsck = spawnSync('/sbin/e2fsck', ['-fn', disk], { encoding: 'utf8' });
  return fsck.status === 0 ? undefined : `e2fsck: ${fsck.stdout}`;
}

/** A file written once is the same after each of these, which the guest does to the controller. */
const KEPT = [
  'holds() {',
  '  await [ -b /dev/nvme0n1 ]; mount -t ext4 /dev/nvme0n1 /mnt && md5sum -c /mnt/sum >/dev/null &&',
  '  dd if=/dev/urandom of=/mnt/more bs=64k count=4 conv=fsync 2>/dev/null && umount /mnt && echo guest: held $*',
  '}',
  'write() {',
  '  await [ -b /dev/nvme0n1 ]; mount -t ext4 /dev/nvme0n1 /mnt',
  '  dd if=/dev/urandom of=/mnt/file bs=64k count=16 2>/dev/null; md5sum /mnt/file > /mnt/sum; umount /mnt',
  '}',
  'drop() { echo 3 > /proc/sys/vm/drop_caches; }',
];

/** Linux keeps it from users unless it is told not to; 2 MiB is what its driver asks of a work queue. */
const DSA = {
  kernel: { with: ['vfio-denylist-off'] },
  devices: [{ type: 'dsa', at: A, options: { max_xfer_shift: 21 } }],
};

/** Both ports have a network of their own; the second one's is told to do things by `there`. */
const TWO_NETWORKS = [
  'await [ -d /sys/class/net/eth1 ]',
  'mkfifo /tmp/there; unshare -n sh </tmp/there & other=$!',
  'exec 9>/tmp/there; there() { echo "$*; touch /tmp/done" >&9; await [ -e /tmp/done ]; rm /tmp/done; }',
  'there ip link set lo up',
  'ip link set eth1 netns $other',
  'there "ip addr add 10.0.0.2/24 dev eth1; ip link set eth1 up"',
  'ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up',
  'carrier() { [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; }; await carrier',
];
const PING = [
  'pinged() { ping -c 1 -W 2 10.0.0.2 >/dev/null; }; await pinged',
  'echo guest: small $(ping -c 20 -i 0.1 10.0.0.2 | grep received)',
  'echo guest: large $(ping -c 20 -i 0.1 -s 1400 10.0.0.2 | grep received)',
];
/** A file by TCP: segments, checksums and retransmissions as the drivers of both ports do them. */
const FETCH = [
  'mkdir /tmp/www; dd if=/dev/urandom of=/tmp/www/file bs=64k count=32 2>/dev/null',
  'there httpd -h /tmp/www',
  'wget -q -O /tmp/got http://10.0.0.2/file; cmp /tmp/got /tmp/www/file && echo guest: fetched',
];
const PINGED = ['small', 'large'].map(
  (size) => `guest: ${size} 20 packets transmitted, 20 packets received, 0% packet loss`,
);

/** The registers of both ports, by ethtool: what one has sent the other has received, and nothing went wrong. */
const COUNTS = [
  'sleep 5; ethtool -S eth0 | sed "s/^/guest: eth0/"',
  'there "ethtool -S eth1 | sed \\"s/^/guest: eth1/\\""',
];
function countsAgree(_home, out) {
  const count = (port, name) =>
    Number(new RegExp(`guest: ${port} +${name}: (\\d+)`).exec(out)?.[1] ?? NaN);
  const wrong = [
    ...out.matchAll(/guest: (eth\d) +(\w*(?:error|drop|miss|fail)\w*): ([1-9]\d*)/g),
  ][0];
  if (wrong) return `${wrong[1]}: ${wrong[2]} ${wrong[3]}`;
  for (const [from, to] of ['01', '10'].map((pair) => [...pair].map((n) => `eth${n}`))) {
    for (const what of ['packets', 'bytes']) {
      const [sent, got] = [count(from, `tx_${what}`), count(to, `rx_${what}`)];
      if (!(sent > 40) || sent !== got) return `${from} sent ${sent} ${what}, ${to} got ${got}`;
    }
  }
  return undefined;
}

const HOT = { driver: 'vfio-pci', host: AT, id: 'disk', bus: 'slot0' };
const ROOT_PORT = 'pcie-root-port,id=slot0,slot=1';
const plugged = (round) => [
  [`guest: empty ${round}`, { execute: 'device_add', arguments: HOT }],
  [`guest: used ${round}`, { execute: 'device_del', arguments: { id: 'disk' } }],
];

/** QEMU and its guest, which says it is busy. */
const BEGUN = [
  '"$@" > console 2>&1 & qemu=$!',
  'says() { until grep -q "$1" console; do sleep 1; kill -0 $qemu 2>/dev/null || { cat console; exit 1; }; done; }',
  'says "guest: busy"',
  `device=/sys/bus/pci/devices/${AT}`,
];
/** While the guest writes, another program of the run takes the function away; both go on, and it is found again. */
const REMOVAL = [
  ...BEGUN,
  'echo 1 > $device/remove; [ -e $device ] && echo error: it is still there',
  'wait $qemu; cat console',
  'echo 1 > /sys/bus/pci/rescan && echo vfio-pci > $device/driver_override',
  `echo ${AT} > /sys/bus/pci/drivers_probe`,
  `exec qemu-io -f raw -c "write -P 3 0 64k" -c "read -P 3 0 64k" nvme://${AT}/1`,
].join('\n');
/** The disk is pulled out: QEMU hears of an error and stops its guest, and can still be ended. Then it is put in again. */
const PULLED = [
  ...BEGUN,
  `hand=/sys/kernel/debug/softiommu; echo ${AT} > $hand/unplug; says "Unrecoverable error"`,
  'kill $qemu; wait $qemu; cat console',
  'while [ -e $device ]; do sleep 1; done; echo gone',
  `echo ${AT} > $hand/plug; [ -e $device ] && echo back`,
  `exec qemu-io -r -f raw -c "read 0 64k" nvme://${AT}/1`,
].join('\n');
/** QEMU is killed while the guest writes. */
const KILLED = [
  ...BEGUN,
  'sleep 2; kill -9 $qemu; wait $qemu; cat console',
  `exec qemu-io -r -f raw -c "read 0 64k" nvme://${AT}/1`,
].join('\n');
const BUSY = [
  'await [ -b /dev/nvme0n1 ]; mount -t ext4 /dev/nvme0n1 /mnt',
  '(while dd if=/dev/urandom of=/mnt/file bs=64k count=16 conv=fsync 2>/dev/null; do :; done; echo guest: cannot write) &',
  'await [ -s /mnt/file ]; echo guest: busy',
];

export const guestRows = () => [
  guest({
    name: 'guest: NVMe is mounted and written (J18)',
    flags: onFile(),
    devices: passed(AT),
    modules: ['nvme', ...ext4],
    mkfs: true,
    lines: [...writeFile('/dev/nvme0n1'), 'dmesg | grep nvme'],
    says: ['nvme nvme0: pci function', '1/0/0 default/read/poll queues', 'guest: unmounted'],
    check: sameOutside,
  }),
  guest({
    name: "guest: NVMe behind the guest's own IOMMU",
    flags: onFile(),
    devices: ['intel-iommu,caching-mode=on', ...passed(AT)],
    machine: ',kernel-irqchip=split',
    append: 'intel_iommu=on',
    modules: ['nvme', ...ext4],
    mkfs: true,
    lines: [
      ...writeFile('/dev/nvme0n1'),
      'at=$(readlink -f /sys/class/nvme/nvme0/device)',
      'echo guest: domain $(cat $at/iommu_group/type)',
      'dmesg | grep DMAR',
    ],
    says: ['DMAR: IOMMU enabled', 'guest: domain DMA', 'guest: unmounted'],
    check: sameOutside,
  }),
  guest({
    name: 'guest: NVMe is reset, removed and found, and the guest reboots',
    flags: onFile(),
    devices: passed(AT),
    modules: ['nvme', ...ext4],
    mkfs: true,
    end: [],
    lines: [
      ...KEPT,
      'mount -t ext4 /dev/nvme0n1 /mnt 2>/dev/null; await [ -b /dev/nvme0n1 ]',
      'mount | grep -q /mnt || mount -t ext4 /dev/nvme0n1 /mnt',
      'if [ -e /mnt/sum ]; then umount /mnt; holds a reboot; poweroff -f; fi',
      'umount /mnt; write',
      'at=$(readlink -f /sys/class/nvme/nvme0/device)',
      'echo guest: ways $(cat $at/reset_method)',
      'echo 1 > $at/reset; drop; holds a reset of the function',
      'echo 1 > /sys/class/nvme/nvme0/reset_controller; drop; holds a reset of the controller',
      'echo 1 > $at/remove; [ -b /dev/nvme0n1 ] && echo guest: error: it is still there',
      'echo 1 > /sys/bus/pci/rescan; drop; holds a rescan',
      'reboot -f',
    ],
    says: [
      'guest: ways flr',
      ...['function', 'controller'].map((what) => `guest: held a reset of the ${what}`),
      'guest: held a rescan',
      'guest: held a reboot',
    ],
  }),
  guest({
    name: 'guest: NVMe is plugged in and pulled out, twice',
    flags: onFile(),
    devices: [ROOT_PORT],
    modules: ['nvme', ...ext4],
    mkfs: true,
    talk: [1, 2].flatMap(plugged),
    lines: [
      ...KEPT,
      'gone() { [ ! -e /dev/nvme0n1 ] && [ ! -e /sys/bus/pci/devices/0000:01:00.0 ]; }; await gone',
      'echo guest: empty 1; write; echo guest: used 1; await gone',
      'echo guest: empty 2; holds a hot plug; echo guest: used 2; await gone; echo guest: gone',
    ],
    says: ['guest: held a hot plug', 'guest: gone'],
  }),
  guest({
    name: 'guest: NVMe is taken away by another program while it is written',
    flags: onFile(),
    devices: [ROOT_PORT, `vfio-pci,host=${AT},bus=slot0`],
    modules: ['nvme', ...ext4],
    mkfs: true,
    wrap: (command) => ['sh', '-c', REMOVAL, 'sh', ...command],
    lines: [...BUSY, 'gone() { [ ! -e /dev/nvme0n1 ]; }; await gone; echo guest: goes on'],
    says: ['guest: goes on', 'read 65536/65536'],
  }),
  guest({
    name: 'guest: NVMe is pulled out of the machine while it is written',
    flags: ['--machine', 'machine.json', ...onFile()],
    files: { 'machine.json': JSON.stringify({ kernel: { with: ['debug-hotplug'] }, devices: [] }) },
    devices: [ROOT_PORT, `vfio-pci,host=${AT},bus=slot0`],
    modules: ['nvme', ...ext4],
    mkfs: true,
    wrap: (command) => ['sh', '-c', PULLED, 'sh', ...command],
    lines: [...BUSY, 'sleep 600'],
    says: ['guest: busy', 'Unrecoverable error', 'gone\nback\n', 'read 65536/65536'],
  }),
  guest({
    name: 'guest: killed while it writes NVMe',
    flags: onFile(),
    devices: passed(AT),
    modules: ['nvme', ...ext4],
    mkfs: true,
    wrap: (command) => ['sh', '-c', KILLED, 'sh', ...command],
    lines: [...BUSY, 'sleep 600'],
    says: ['guest: busy', 'read 65536/65536'],
    check(home) {
      const fsck = spawnSync('/sbin/e2fsck', ['-fy', join(home, 'disk.raw')], { encoding: 'utf8' });
      return fsck.status <= 1 ? undefined : `e2fsck: ${fsck.stdout}`;
    },
  }),
  guest({
    name: 'guest: igb, two ports wired together (J19)',
    flags: ports('igb'),
    devices: passed(A, B),
    append: 'ipv6.disable=1',
    modules: ['igb'],
    programs: ['/sbin/ethtool'],
    lines: [...TWO_NETWORKS, ...PING, ...FETCH, ...COUNTS, 'ethtool -i eth0', 'dmesg | grep igb'],
    says: [
      'Intel(R) Gigabit Ethernet Network Connection',
      'Using MSI-X interrupts. 1 rx queue(s), 1 tx queue(s)',
      'igb: eth0 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: None',
      'driver: igb',
      ...PINGED,
      'guest: fetched',
    ],
    check: countsAgree,
  }),
  guest({
    name: 'guest: igb, the link goes when the other port does, and comes back',
    flags: ports('igb'),
    devices: passed(A, B),
    append: 'ipv6.disable=1',
    modules: ['igb'],
    lines: [
      ...TWO_NETWORKS,
      ...PING,
      'there ip link set eth1 down; lost() { ! carrier; }; await lost && echo guest: no carrier',
      'there ip link set eth1 up; await carrier; await pinged && echo guest: pinged again',
    ],
    says: ['guest: no carrier', 'guest: pinged again'],
  }),
  guest({
    name: "guest: igb, ethtool's own test",
    flags: ports('igb'),
    devices: passed(A, B),
    append: 'ipv6.disable=1',
    modules: ['igb'],
    programs: ['/sbin/ethtool'],
    lines: ['await [ -d /sys/class/net/eth1 ]; ip link set eth1 up; ethtool -t eth0 offline'],
    says: ['The test result is PASS'],
  }),
  ...['', ',packed=true'].flatMap((packed) => {
    const rings = packed ? 'packed rings' : 'split rings';
    return [
      guest({
        name: `guest: virtio-blk, ${rings} (J20)`,
        flags: onFile('', 'virtio-blk', packed),
        devices: passed(AT),
        modules: ['virtio_pci', 'virtio_blk', ...ext4],
        mkfs: true,
        lines: [
          ...writeFile('/dev/vda'),
          'mount -t ext4 /dev/vda /mnt && fstrim -v /mnt; umount /mnt',
          'echo guest: serial $(cat /sys/block/vda/serial)',
          'echo guest: packed $(cut -c 35 /sys/bus/virtio/devices/virtio0/features)',
        ],
        says: [
          'guest: unmounted',
          'trimmed',
          'guest: serial softiommu',
          `guest: packed ${packed ? 1 : 0}`,
        ],
        check: sameOutside,
      }),
      guest({
        name: `guest: virtio-net, two ports wired together, ${rings} (J20)`,
        flags: ports('virtio-net', packed),
        devices: passed(A, B),
        append: 'ipv6.disable=1',
        modules: ['virtio_pci', 'virtio_net'],
        lines: [
          ...TWO_NETWORKS,
          ...PING,
          ...FETCH,
          'echo guest: packed $(cut -c 35 /sys/bus/virtio/devices/virtio0/features)',
        ],
        says: [...PINGED, 'guest: fetched', `guest: packed ${packed ? 1 : 0}`],
      }),
    ];
  }),
  guest({
    name: "guest: ioat, its driver's own test (J20)",
    flags: ['--device', `ioat,bdf=${A}`],
    devices: passed(A),
    modules: ['ioatdma'],
    lines: [
      'await [ -d /sys/class/dma/dma0chan0 ] && echo guest: a channel',
      'grep ioat /proc/interrupts; dmesg | grep -i ioat',
      'dmesg | grep -iE "ioat.*(self-test|fail|error)" && echo guest: error: its test',
    ],
    says: ['Intel(R) QuickData Technology Driver', 'guest: a channel', 'ioat-msix'],
  }),
  guest({
    name: "guest: ioat copies for the kernel's dmatest",
    flags: ['--device', `ioat,bdf=${A}`],
    devices: passed(A),
    modules: ['ioatdma'],
    built: ['drivers/dma/dmatest.c'],
    lines: [
      'await [ -d /sys/class/dma/dma0chan0 ]; cd /sys/module',
      'insmod /lib/modules/dmatest.ko iterations=200 threads_per_chan=2 wait=1 channel=dma0chan0',
      'echo 1 > dmatest/parameters/run; cat dmatest/parameters/wait > /dev/null',
      'dmesg | grep dmatest:; grep ioat /proc/interrupts',
    ],
    says: [0, 1].map((thread) => `dma0chan0-copy${thread}: summary 200 tests, 0 failures`),
  }),
  guest({
    // No QEMU without KVM has MOVDIR64B, and the driver loads only where the processor says it has: descriptors
    // cannot be submitted, all else is.
    name: 'guest: dsa, its driver enables device and work queue (J20)',
    flags: ['--machine', 'machine.json'],
    files: { 'machine.json': JSON.stringify(DSA) },
    devices: passed(A),
    cpu: ',+movdir64b,x-force-features=on',
    modules: ['idxd'],
    lines: [
      'cd /sys/bus/dsa/devices; await [ -d dsa0 ]',
      'echo 0 > dsa0/engine0.0/group_id; echo 0 > wq0.0/group_id',
      'echo 16 > wq0.0/size',
      // Of a work queue that is disabled the driver forgets these.
      'configure() {',
      '  for word in mode=dedicated type=kernel priority=10 name=dmaengine; do',
      '    echo ${word#*=} > wq0.0/${word%=*}',
      '  done',
      '}',
      'do_to() { echo $2 > /sys/bus/dsa/drivers/$3/$1 || echo guest: error: $*; }',
      'configure; do_to bind dsa0 idxd; do_to bind wq0.0 dmaengine',
      'echo guest: bound $(cat dsa0/state wq0.0/state)',
      'echo guest: channels $(ls /sys/class/dma)',
      'do_to unbind wq0.0 dmaengine; echo guest: unbound $(cat wq0.0/state)',
      'configure; do_to bind wq0.0 dmaengine; do_to unbind dsa0 idxd',
      'echo guest: errors $(cat dsa0/errors dsa0/cmd_status)',
      'echo guest: off $(cat dsa0/state); grep idxd /proc/interrupts; dmesg | grep idxd',
    ],
    says: [
      'Intel(R) Accelerator Device (v100)',
      'guest: bound enabled enabled',
      'guest: channels dma0chan0',
      'guest: unbound disabled',
      `guest: errors ${'0x0000000000000000 '.repeat(4)}0x0`,
      'guest: off disabled',
    ],
  }),
];

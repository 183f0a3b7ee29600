// A guest of QEMU without KVM: Debian's kernel with the modules it needs, and a first process that is one shell script.
// Nothing is installed: kernel and modules are unpacked into the cache, programs are copied from the system.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CACHE, UserError, unpackPackages } from './debian.mjs';

export const GUEST_PACKAGES = {
  'qemu-system-x86': 'the machine of the guest',
  seabios: 'its firmware',
  'busybox-static': 'its programs',
  cpio: 'packs them',
  kmod: 'knows which modules a module needs',
};
/** The cloud image has no igb, ioatdma and idxd. */
const IMAGE = 'linux-image-amd64';
const QUIET = 'console=ttyS0 panic=-1 quiet loglevel=4';
/** A busy host is late with the timer interrupts that the kernel counts, and a panic is what it makes of that. */
const PATIENT = 'no_timer_check';

const home = join(CACHE, 'guest-kernel');
const modulesHome = join(home, 'lib/modules');

/** The newest kernel of the system's own suite: { image, version }. Fetched once. */
export function guestKernel() {
  const boot = join(home, 'boot');
  const image = () =>
    existsSync(boot) && readdirSync(boot).find((name) => name.startsWith('vmlinuz'));
  if (!image()) fetchKernel();
  return { image: join(boot, image()), version: readdirSync(modulesHome)[0] };
}
function fetchKernel() {
  rmSync(home, { recursive: true, force: true });
  const depends = execFileSync('apt-cache', ['depends', IMAGE], { encoding: 'utf8' });
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (!name) throw new UserError(`apt-cache knows no ${IMAGE}: apt-get update`);
  console.log(`… fetching ${name} (about 70 MB, once)`);
  unpackPackages([name], home);
  execFileSync('/sbin/depmod', ['-b', home, readdirSync(modulesHome)[0]]);
}

/** What every script may use: `await COMMAND…` tries it again and again, for two minutes. */
const PREAMBLE = [
  '#!/bin/busybox sh',
  '/bin/busybox --install -s /bin',
  'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev',
  'await() {',
  '  n=0; until "$@"; do',
  '    sleep 0.5; n=$((n+1)); [ $n -lt 240 ] || { echo "guest: error: never $*"; return 1; }',
  '  done',
  '}',
];

/**
 * An initial RAM disk whose first process loads `modules`, runs `lines`, and then switches the machine off. `programs` of
 * the system are copied with their libraries; `files` are copied to /lib/modules and not loaded.
 */
export function guestInitrd(file, { modules = [], programs = [], files: more = [], lines }) {
  const { version } = guestKernel();
  const root = `${file}.root`;
  for (const name of ['bin', 'dev', 'lib/modules', 'mnt', 'proc', 'sys', 'tmp'])
    mkdirSync(join(root, name), { recursive: true });
  copyFileSync('/usr/bin/busybox', join(root, 'bin/busybox'));
  for (const program of programs) copyProgram(program, root);
  const files = [...new Set(modules.flatMap((name) => moduleFiles(name, version)))];
  for (const path of [...files, ...more])
    copyFileSync(path, join(root, 'lib/modules', basename(path)));
  const load = files.map(
    (path) =>
      `insmod /lib/modules/${basename(path)} || echo guest: error: no module ${basename(path)}`,
  );
  const script = [...PREAMBLE, ...load, ...lines, 'poweroff -f', ''];
  writeFileSync(join(root, 'init'), script.join('\n'));
  chmodSync(join(root, 'init'), 0o755);
  const pack = 'cd "$0" && find . | cpio -o -H newc | gzip -1 > "$1"';
  const packed = spawnSync('sh', ['-c', pack, root, file], { encoding: 'utf8' });
  rmSync(root, { recursive: true });
  if (packed.status !== 0) throw new UserError(`the RAM disk of the guest: ${packed.stderr}`);
}
/** The files of a module and of those it needs, in the order they are loaded. */
function moduleFiles(name, version) {
  const args = ['-d', home, '-S', version, '--show-depends', name];
  const out = spawnSync('/sbin/modprobe', args, { encoding: 'utf8' });
  if (out.status !== 0) throw new UserError(out.stderr.trim());
  return out.stdout
    .split('\n')
    .filter((line) => line.startsWith('insmod '))
    .map((line) => line.split(' ')[1]);
}
function copyProgram(program, root) {
  copyFileSync(program, join(root, 'bin', basename(program)));
  const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
  for (const [library] of stdout.matchAll(/\/\S+/g)) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    copyFileSync(library, join(root, library));
  }
}

/** QEMU's arguments for such a guest; `devices` are those of -device, `append` more words for the kernel. */
export function guestCommand({ initrd, devices, append = '', machine = '', cpu = '', more = [] }) {
  return [
    ...['qemu-system-x86_64', '-machine', `q35,accel=tcg${machine}`, '-cpu', `max${cpu}`],
    ...['-m', '192', '-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio'],
    ...['-kernel', guestKernel().image, '-initrd', initrd],
    ...['-append', `${QUIET} ${PATIENT} ${append}`.trim()],
    ...devices.flatMap((device) => ['-device', device]),
    ...more,
  ];
}

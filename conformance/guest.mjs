// A guest of QEMU without KVM: Debian's kernel, and a first process that is one shell script of busybox.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { CACHE, UserError } from './debian.mjs';

export const GUEST_PACKAGES = {
  'qemu-system-x86': 'the machine of the guest',
  seabios: 'its firmware',
  'busybox-static': 'its programs',
  cpio: 'packs them',
  e2fsprogs: 'makes and checks its file system',
};
const IMAGE = 'linux-image-cloud-amd64';

/** The newest kernel of the system's own suite, unpacked into the cache and not installed. */
export function guestKernel() {
  const home = join(CACHE, 'guest');
  const boot = join(home, 'boot');
  const kernel = () =>
    existsSync(boot) && readdirSync(boot).find((name) => name.startsWith('vmlinuz'));
  if (!kernel()) {
    mkdirSync(home, { recursive: true });
    const depends = execFileSync('apt-cache', ['depends', IMAGE], { encoding: 'utf8' });
    const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
    if (!name) throw new UserError(`apt-cache knows no ${IMAGE}: apt-get update`);
    execFileSync('apt-get', ['-qq', '-o', 'APT::Sandbox::User=', 'download', name], { cwd: home });
    const file = readdirSync(home).find((entry) => entry.startsWith(name));
    execFileSync('dpkg', ['-x', file, '.'], { cwd: home });
  }
  return join(boot, kernel());
}

/** An initial RAM disk whose first process runs these lines, and then switches the machine off. */
export function guestInitrd(file, lines) {
  const root = `${file}.root`;
  for (const name of ['bin', 'dev', 'proc', 'sys', 'mnt'])
    mkdirSync(join(root, name), { recursive: true });
  copyFileSync('/usr/bin/busybox', join(root, 'bin/busybox'));
  const script = [
    '#!/bin/busybox sh',
    '/bin/busybox --install -s /bin',
    'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev',
    ...lines,
    'poweroff -f',
    '',
  ].join('\n');
  writeFileSync(join(root, 'init'), script);
  chmodSync(join(root, 'init'), 0o755);
  const { status } = spawnSync(
    'sh',
    ['-c', `cd "$0" && find . | cpio -o -H newc | gzip > "$1"`, root, file],
    {
      stdio: ['ignore', 'ignore', 'ignore'],
    },
  );
  if (status !== 0) throw new UserError('the RAM disk of the guest could not be packed');
}

/** QEMU's command line for such a guest with these functions of the machine of the run. */
export function guestCommand(kernel, initrd, functions) {
  return [
    ...['qemu-system-x86_64', '-machine', 'q35,accel=tcg', '-cpu', 'max', '-m', '256'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 panic=-1'],
    ...functions.flatMap((at) => ['-device', `vfio-pci,host=${at}`]),
  ];
}

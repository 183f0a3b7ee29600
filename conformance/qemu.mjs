// `npm run conformance -- qemu`: Debian's QEMU, unmodified: its own NVMe driver, and guests on devices of every kind.
import { needPackages } from './debian.mjs';
import { GUEST_PACKAGES } from './guest.mjs';
import { MODULE_PACKAGES } from './guest-modules.mjs';
import { DISK_ROWS } from './qemu-disks.mjs';
import { guestRows } from './qemu-guests.mjs';
import { outcome } from './qemu-run.mjs';
import { reportRows } from './reports.mjs';
import { runRows } from './rows.mjs';

const NEEDED = {
  'qemu-utils': 'qemu-img, qemu-io',
  python3: 'opens the devices after each program',
  e2fsprogs: 'makes and checks file systems',
  ethtool: 'counters of a network port',
  ...GUEST_PACKAGES,
  ...MODULE_PACKAGES,
};

export async function qemu(options) {
  if (!needPackages(NEEDED, options.install)) return 2;
  const rows = [...DISK_ROWS, ...guestRows()];
  const results = await runRows('qemu', rows, (row, user) => outcome(row, user, options), options);
  return reportRows(results, options);
}

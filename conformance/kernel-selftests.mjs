// The kernel's own selftest programs, taken from a Debian linux-source-7.x package and built untouched.
// Only the test programs and the headers they include are unpacked; nothing of them enters this repository.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CACHE, privateApt, UserError } from './debian.mjs';

const SUITE = 'trixie-backports';
const WANTED = [
  '*/tools/testing/selftests/iommu/*',
  '*/tools/testing/selftests/vfio/*',
  '*/tools/testing/selftests/kselftest*.h',
  '*/tools/testing/selftests/lib.mk',
  '*/drivers/iommu/iommufd/iommufd_test.h',
  // Of vfio: the headers its Makefile names, and what those of its drivers are links to.
  '*/tools/include/*',
  '*/tools/arch/x86/include/*',
  '*/include/linux/pci_ids.h',
  '*/include/uapi/linux/idxd.h',
  '*/drivers/dma/idxd/registers.h',
  '*/drivers/dma/ioat/hw.h',
  '*/drivers/dma/ioat/registers.h',
  '*/drivers/net/ethernet/intel/igb/e1000_*.h',
];

const step = (text) => console.log(`… ${text}`);

/** Fetch and unpack once; afterwards offline. Returns { version, tests, headers }. */
export function fetchSelftests() {
  const home = join(CACHE, 'linux');
  const stamp = join(home, 'version');
  const wanted = join(home, 'wanted');
  const isWhole = existsSync(wanted) && readFileSync(wanted, 'utf8') === WANTED.join('\n');
  if (!existsSync(stamp) || !isWhole) {
    rmSync(home, { recursive: true, force: true });
    mkdirSync(join(home, 'tree'), { recursive: true });
    const apt = privateApt(SUITE);
    step(`reading the package list of ${SUITE}`);
    apt.update();
    const sources = apt.search('^linux-source-7[.][0-9]+$').sort(byVersion);
    if (sources.length === 0) throw new UserError(`${SUITE} has no linux-source-7.x package`);
    const name = sources.at(-1);
    const version = apt.version(name);
    step(`fetching ${name} ${version} and linux-libc-dev (about 170 MB, once)`);
    const source = apt.download(name, version);
    const headers = apt.download('linux-libc-dev', version);
    step('unpacking the selftests and the headers they need');
    execFileSync('dpkg-deb', ['-x', headers, join(home, 'headers')]);
    unpackFromSource(source, join(home, 'tree'));
    writeFileSync(stamp, `${version}\n`);
    writeFileSync(wanted, WANTED.join('\n'));
  }
  return {
    version: readFileSync(stamp, 'utf8').trim(),
    tests: join(home, 'tree/tools/testing/selftests'),
    headers: join(home, 'headers/usr/include'),
    bin: join(home, 'bin'),
  };
}

function byVersion(a, b) {
  return Number(a.split('.').at(-1)) - Number(b.split('.').at(-1));
}

function unpackFromSource(deb, into) {
  const member = execFileSync('dpkg-deb', ['--fsys-tarfile', deb], {
    maxBuffer: 1 << 30,
    encoding: 'buffer',
  });
  const listing = spawnSync('tar', ['-t'], { input: member, encoding: 'utf8', maxBuffer: 1 << 24 });
  const tarball = listing.stdout.split('\n').find((name) => name.endsWith('.tar.xz'));
  const inner = spawnSync('tar', ['-xO', tarball], { input: member, maxBuffer: 1 << 30 });
  const out = spawnSync(
    'tar',
    ['-xJ', '-C', into, '--strip-components=1', '--wildcards', ...WANTED],
    { input: inner.stdout, maxBuffer: 1 << 24 },
  );
  if (out.status !== 0) throw new UserError(`tar: ${out.stderr}`);
}

/** Build programs of tools/testing/selftests/iommu as its own Makefile does. Returns their paths. */
export function buildIommu(kernel, names) {
  const flags = ['-Wno-unused-function', `-I${kernel.tests}`];
  return names.map((name) => {
    const source = join(kernel.tests, 'iommu', `${name}.c`);
    return build(kernel, name, [...flags, source, '-lcap']);
  });
}

/** Those of tools/testing/selftests/vfio, each with the library they share. */
export function buildVfio(kernel, names) {
  const home = join(kernel.tests, 'vfio');
  const tools = resolve(kernel.tests, '../..');
  const flags = [
    `-I${join(home, 'lib/include')}`,
    `-I${kernel.tests}`,
    `-I${join(tools, 'include')}`,
    '-pthread',
  ];
  const library = readdirSync(join(home, 'lib'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(home, 'lib', name));
  return names.map((name) => {
    return build(kernel, name, [...flags, join(home, `${name}.c`), ...library, '-luuid']);
  });
}

function build({ headers, bin }, name, what) {
  mkdirSync(bin, { recursive: true });
  const out = join(bin, name);
  if (existsSync(out)) return out;
  step(`building ${name}`);
  const machine = readdirSync(headers).find((entry) => entry === 'x86_64-linux-gnu');
  const system = ['-isystem', headers, '-isystem', join(headers, machine)];
  const flags = ['-D_GNU_SOURCE=', '-Wall', '-O2', ...system];
  const cc = spawnSync('gcc', [...flags, '-o', out, ...what], { encoding: 'utf8' });
  if (cc.status !== 0) throw new UserError(`gcc ${name}.c:\n${cc.stderr}`);
  return out;
}

// The kernel's own selftest programs, taken from a Debian linux-source-7.x package and built untouched.
// Only the test programs and the headers they include are unpacked; nothing of them enters this repository.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE, privateApt, UserError } from './debian.mjs';

const SUITE = 'trixie-backports';
const WANTED = [
  '*/tools/testing/selftests/iommu/*',
  '*/tools/testing/selftests/vfio/*',
  '*/tools/testing/selftests/kselftest*.h',
  '*/tools/testing/selftests/lib.mk',
  '*/drivers/iommu/iommufd/iommufd_test.h',
];

const step = (text) => console.log(`… ${text}`);

/** Fetch and unpack once; afterwards offline. Returns { version, tests, headers }. */
export function fetchSelftests() {
  const home = join(CACHE, 'linux');
  const stamp = join(home, 'version');
  if (!existsSync(stamp)) {
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
export function buildIommu({ tests, headers, bin }, names) {
  mkdirSync(bin, { recursive: true });
  const machine = readdirSync(headers).find((name) => name === 'x86_64-linux-gnu');
  return names.map((name) => {
    const out = join(bin, name);
    if (!existsSync(out)) {
      step(`building ${name}`);
      const flags = ['-D_GNU_SOURCE=', '-Wall', '-O2', '-Wno-unused-function', `-I${tests}`];
      const system = ['-isystem', headers, '-isystem', join(headers, machine)];
      const source = join(tests, 'iommu', `${name}.c`);
      const cc = spawnSync('gcc', [...flags, ...system, '-o', out, source, '-lcap'], {
        encoding: 'utf8',
      });
      if (cc.status !== 0) throw new UserError(`gcc ${name}.c:\n${cc.stderr}`);
    }
    return out;
  });
}

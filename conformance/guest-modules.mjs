// Modules of the kernel's own sources that Debian does not build, such as dmatest: fetched, and built in the cache for the
// kernel of the guests. Nothing of them enters this repository.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CACHE, UserError, unpackPackages } from './debian.mjs';
import { guestKernel } from './guest.mjs';

export const MODULE_PACKAGES = {
  gcc: 'builds modules for the guest',
  make: 'builds them',
  'xz-utils': "unpacks the kernel's sources",
};

/** The module built of this source, such as drivers/dma/dmatest.c. Its file. */
export function builtModule(source) {
  const { version } = guestKernel();
  const home = join(CACHE, 'guest-modules', version);
  const file = join(home, basename(source, '.c'), basename(source).replace(/\.c$/, '.ko'));
  if (!existsSync(file)) build(source, { version, home, where: dirname(file) });
  return file;
}

function build(source, { version, home, where }) {
  const release = /^(\d+\.\d+)\./.exec(version)[1];
  const headers = join(home, 'usr/src', `linux-headers-${version}`);
  const common = headers.replace(/-amd64$/, '-common');
  const tree = join(home, 'usr/src', `linux-source-${release}.tar.xz`);
  if (!existsSync(tree)) {
    console.log(`… fetching the sources and headers of ${version} (about 155 MB, once)`);
    const packages = [`linux-kbuild-${release}`, `linux-source-${release}`];
    unpackPackages([...[headers, common].map((path) => basename(path)), ...packages], home);
    writeFileSync(join(headers, 'Makefile'), `include ${common}/Makefile\n`);
  }
  mkdirSync(where, { recursive: true });
  const inTree = ['--strip-components', String(source.split('/').length), '--wildcards'];
  execFileSync('tar', ['-xJf', tree, '-C', where, ...inTree, `*/${source}`]);
  writeFileSync(join(where, 'Kbuild'), `obj-m += ${basename(source, '.c')}.o\n`);
  const made = spawnSync('make', ['-C', headers, `M=${where}`, 'CC=gcc', 'modules'], {
    encoding: 'utf8',
  });
  if (!readdirSync(where).some((name) => name.endsWith('.ko'))) {
    throw new UserError(`make ${source}: ${made.stderr.trim()}`);
  }
}

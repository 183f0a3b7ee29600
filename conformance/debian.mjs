// Packages of a newer Debian suite, fetched with a private apt configuration derived from the system's own sources:
// the system's package lists and installed packages stay as they are. Everything is kept under .cache/conformance.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const CACHE = resolve(process.env.SOFTIOMMU_CACHE ?? '.cache/conformance');

/** First Debian archive and key named in the system's own sources: { uri, signedBy }. */
function systemArchive() {
  const dir = '/etc/apt/sources.list.d';
  const files = ['/etc/apt/sources.list'];
  if (existsSync(dir)) files.push(...readdirSync(dir).map((name) => join(dir, name)));
  for (const file of files.filter((name) => existsSync(name))) {
    const text = readFileSync(file, 'utf8');
    for (const stanza of text.split(/\n\s*\n/)) {
      const uri = /^URIs:\s*(\S+\/debian\/?)\s*$/m.exec(stanza)?.[1];
      if (uri) return { uri, signedBy: /^Signed-By:\s*(\S+)/m.exec(stanza)?.[1] };
    }
    const line = /^deb\s+(?:\[(.*?)\]\s+)?(\S+\/debian\/?)\s+\S+/m.exec(text);
    if (line) return { uri: line[2], signedBy: /signed-by=(\S+)/.exec(line[1] ?? '')?.[1] };
  }
  throw new UserError('no Debian archive is named in /etc/apt/sources.list or sources.list.d');
}

export class UserError extends Error {}

/** An apt that knows one suite only. */
export function privateApt(suite) {
  const home = join(CACHE, 'apt', suite);
  for (const sub of ['state/lists/partial', 'cache/archives/partial', 'deb']) {
    mkdirSync(join(home, sub), { recursive: true });
  }
  const { uri, signedBy } = systemArchive();
  const key = signedBy ?? '/usr/share/keyrings/debian-archive-keyring.gpg';
  const sources = join(home, 'suite.sources');
  writeFileSync(
    sources,
    `Types: deb\nURIs: ${uri}\nSuites: ${suite}\nComponents: main\nSigned-By: ${key}\n`,
  );
  const options = [
    ['Dir::Etc::sourcelist', sources],
    ['Dir::Etc::sourceparts', '-'],
    ['Dir::State', join(home, 'state')],
    ['Dir::Cache', join(home, 'cache')],
    ['Dir::State::status', '/var/lib/dpkg/status'],
    ['APT::Sandbox::User', ''],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const run = (command, args) =>
    execFileSync(command, [...options, ...args], { cwd: join(home, 'deb'), encoding: 'utf8' });
  return {
    update: () => run('apt-get', ['-qq', 'update']),
    search: (pattern) =>
      run('apt-cache', ['search', '--names-only', pattern])
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split(' ')[0]),
    version: (name) => /Candidate: (\S+)/.exec(run('apt-cache', ['policy', name]))?.[1] ?? '(none)',
    /** Path of the downloaded package file; fetched once. */
    download(name, version) {
      const have = readdirSync(join(home, 'deb')).find((file) => file.startsWith(`${name}_`));
      if (!have) run('apt-get', ['-qq', 'download', version ? `${name}=${version}` : name]);
      const file = readdirSync(join(home, 'deb')).find((entry) => entry.startsWith(`${name}_`));
      return join(home, 'deb', file);
    },
  };
}

/** Packages of the system's own suites, unpacked below `home` and not installed. */
export function unpackPackages(names, home) {
  mkdirSync(home, { recursive: true });
  const download = ['-qq', '-o', 'APT::Sandbox::User=', 'download', ...names];
  const got = spawnSync('apt-get', download, { cwd: home, encoding: 'utf8' });
  if (got.status !== 0) throw new UserError(`apt-get download: ${got.stderr.trim()}`);
  for (const file of readdirSync(home).filter((name) => name.endsWith('.deb'))) {
    execFileSync('dpkg', ['-x', file, '.'], { cwd: home });
    rmSync(join(home, file));
  }
}

/** Which of these system packages are installed. */
export function installed(names) {
  return names.filter((name) => {
    const out = spawnSync('dpkg-query', ['-W', '-f=${Status}', name], { encoding: 'utf8' });
    return out.status === 0 && out.stdout.includes('install ok installed');
  });
}

/** List needed packages; install the missing ones when asked to. False when something is still missing. */
export function needPackages(needed, install) {
  const have = new Set(installed(Object.keys(needed)));
  console.log('Debian packages needed:');
  for (const [name, why] of Object.entries(needed)) {
    console.log(`  ${have.has(name) ? 'there  ' : 'MISSING'}  ${name.padEnd(16)} ${why}`);
  }
  const missing = Object.keys(needed).filter((name) => !have.has(name));
  if (missing.length === 0) return true;
  if (!install) {
    console.log(`\nInstall them with --install, or: apt-get install ${missing.join(' ')}`);
    return false;
  }
  spawnSync('apt-get', ['-qq', 'update'], { stdio: 'inherit' });
  const got = spawnSync(
    'apt-get',
    ['-qq', 'install', '-y', '--no-install-recommends', ...missing],
    {
      stdio: 'inherit',
    },
  );
  return got.status === 0;
}

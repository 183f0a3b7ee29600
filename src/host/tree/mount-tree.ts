/**
 * The launcher's part of a mount namespace: one FUSE mount of the whole simulated tree, then /dev and /sys rebuilt from
 * binds of the host's entries and of the simulated ones. All of it is private and goes with the last program.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { cString, HostError, syscall, type Argument } from '../sys/ffi.ts';
import * as libc from '../sys/libc.ts';
import { isOpenToUs, takeRightsOver } from './directory-rights.ts';
import { fuseAt, type MountPlan, type PlannedChild, type PlannedDir } from './mount-plan.ts';
import { NR, O_CLOEXEC, O_NONBLOCK, O_RDWR } from '../sys/numbers.ts';

const CLONE_NEWNS = 0x20000;
const MS = {
  rdonly: 1,
  nosuid: 2,
  nodev: 4,
  remount: 0x20,
  bind: 0x1000,
  move: 0x2000,
  rec: 0x4000,
  private: 0x40000,
} as const;
const MNT_DETACH = 2;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;

/** A namespace of mounts for this thread, unless `unshare` has made one for us. */
export function unshareMounts(already: boolean): void {
  const rc = already ? 0 : syscall(NR.unshare, CLONE_NEWNS);
  if (rc < 0) throw new HostError(`a mount namespace is refused (errno ${-rc}); use --mode traps`);
  must('making mounts private', mount('none', '/', null, MS.rec | MS.private));
}

/** Mount the simulated tree; the result is the descriptor its requests are answered on. */
export function mountFuse(plan: MountPlan): number {
  must('a tmpfs', mount('softiommu', plan.staging, 'tmpfs', MS.nosuid | MS.nodev, 'mode=755'));
  const at = fuseAt(plan.staging);
  fs.mkdirSync(at);
  // A request whose caller is killed goes between poll and read: nobody may wait for the next one then.
  const fd = libc.open('/dev/fuse', O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw new HostError(`/dev/fuse cannot be opened (errno ${-fd}); use --mode traps`);
  const owner = `user_id=${process.getuid!()},group_id=${process.getgid!()}`;
  const options = `fd=${fd},rootmode=40000,${owner},allow_other`;
  must('the simulated tree', mount('softiommu', at, 'fuse', MS.nosuid | MS.nodev, options));
  return fd;
}

/** Put the rebuilt directories in place. The simulated tree is answered meanwhile. */
export function rebuild(plan: MountPlan): void {
  for (const top of plan.tops) {
    const to = join(plan.staging, top.name);
    fs.mkdirSync(to);
    must(`a tmpfs for /${top.name}`, mount('softiommu', to, 'tmpfs', MS.nosuid, 'mode=755'));
    makeLike({ host: `/${top.name}`, to, simulated: join(fuseAt(plan.staging), top.name) }, top);
    // sysfs lets nobody make files; /dev does.
    if (top.name === 'sys') {
      must('read-only /sys', mount('none', to, null, MS.remount | MS.bind | MS.rdonly));
    }
    must(`/${top.name}`, mount(to, `/${top.name}`, null, MS.move));
  }
  must('leaving the staging directory', leaveStaging(plan.staging));
  // Where the program stands may be in one of them; elsewhere it stays, even where its user could not go.
  const cwd = process.cwd();
  if (/^\/(dev|sys)(\/|$)/.test(cwd)) process.chdir(cwd);
}

/** 0, or minus an errno: nothing of ours is mounted there. */
export function leaveStaging(staging: string): number {
  return syscall(NR.umount2, cString(staging), MNT_DETACH);
}

/** The program gets no more rights than softiommu has outside the namespace. */
export function dropAmbient(): void {
  syscall(NR.prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

interface Place {
  readonly host: string;
  readonly to: string;
  readonly simulated: string;
}

/** With all that it holds, then with the rights of the host's: we may have none to work in it. */
function makeLike(place: Place, dir: PlannedDir): void {
  rebuildDir(place, dir);
  takeRightsOver(place.host, place.to);
}

function rebuildDir(place: Place, dir: PlannedDir): void {
  const simulated = new Set(dir.children.map(({ name }) => name));
  for (const entry of hostEntries(place.host)) {
    if (!simulated.has(entry.name)) showHostEntry(place, entry);
  }
  for (const child of dir.children) showSimulated(place, child);
}

function hostEntries(path: string): fs.Dirent[] {
  if (!isOpenToUs(path)) return [];
  try {
    return fs.readdirSync(path, { withFileTypes: true });
  } catch {
    return []; // the host has no such directory
  }
}

function showHostEntry({ host, to }: Place, entry: fs.Dirent): void {
  const from = join(host, entry.name);
  const at = join(to, entry.name);
  if (entry.isSymbolicLink()) fs.symlinkSync(fs.readlinkSync(from), at);
  else {
    if (entry.isDirectory()) fs.mkdirSync(at);
    else fs.writeFileSync(at, '');
    must(from, mount(from, at, null, MS.bind | MS.rec));
  }
}

function showSimulated({ host, to, simulated }: Place, child: PlannedChild): void {
  const at = join(to, child.name);
  const from = join(simulated, child.name);
  if (child.kind === 'link') fs.symlinkSync(child.target, at);
  else if (child.kind === 'merged') {
    fs.mkdirSync(at);
    makeLike({ host: join(host, child.name), to: at, simulated: from }, child);
  } else {
    if (child.kind === 'dir') fs.mkdirSync(at);
    else fs.writeFileSync(at, '');
    must(from, mount(from, at, null, MS.bind));
  }
}

function mount(
  from: string,
  to: string,
  type: string | null,
  flags: number,
  data: string | null = null,
): number {
  const text = (given: string | null): Argument => (given === null ? 0 : cString(given));
  return syscall(NR.mount, text(from), text(to), text(type), flags, text(data));
}
function must(what: string, rc: number): void {
  if (rc < 0) {
    throw new HostError(`${what} cannot be mounted (errno ${-rc}); use --mode traps`);
  }
}

/**
 * Who may pass a directory of the host's that is made anew in a mount namespace: nobody who may not pass the host's.
 *
 * Owner, mode and ACL are taken over where all ids are known here. In a user namespace those of others have no number, and
 * whoever builds the directory owns it: then its owner gets what the builder has at the host's, and all others what each
 * class of the host's gives.
 */
import * as fs from 'node:fs';
import { cString, syscall } from '../sys/ffi.ts';
import { NR } from '../sys/numbers.ts';
import { textOf } from '../sys/procfs.ts';

const { R_OK, W_OK, X_OK } = fs.constants;
const RIGHTS = [R_OK, W_OK, X_OK] as const;
const SIMULATED = 0o755;
const NOBODYS = 0;
const PERMISSIONS = 0o7777;
const OWNER = 0o700;
const ACCESS_ACL = 'system.posix_acl_access';
/** What files that are made in it get. */
const DEFAULT_ACL = 'system.posix_acl_default';
/** XATTR_SIZE_MAX */
const LONGEST_ACL = 65536;
const ALL_IDS = /^\s*0\s+0\s+4294967295\s*$/;

/** Give a directory the rights of the host's; of one the host does not have, those of a simulated one, whatever the umask. */
export function takeRightsOver(host: string, to: string): void {
  const stat = statOf(host);
  if (stat === 'none') {
    fs.chmodSync(to, SIMULATED);
    return;
  }
  if (stat === 'hidden') {
    fs.chmodSync(to, NOBODYS);
    return;
  }
  if (!isOwnedLike(stat, to)) {
    fs.chmodSync(to, narrowed(host, stat.mode));
    return;
  }
  fs.chmodSync(to, stat.mode & PERMISSIONS);
  copyAcl(DEFAULT_ACL, host, to);
  if (!copyAcl(ACCESS_ACL, host, to)) fs.chmodSync(to, stat.mode & OWNER);
}

/** May we list and pass it? As root of a user namespace we could pass more than its user can. */
export function isOpenToUs(host: string): boolean {
  return isPermitted(host, R_OK | X_OK);
}

/** `hidden`: it is behind a directory that we may not pass. */
function statOf(host: string): fs.Stats | 'none' | 'hidden' {
  try {
    return fs.statSync(host, { throwIfNoEntry: false }) ?? 'none';
  } catch {
    return 'hidden';
  }
}

/** Does the host have such a directory? One that we may not look for counts: the host says no to whoever may not either. */
export function isHostDirectory(path: string): boolean {
  const stat = statOf(path);
  return typeof stat === 'string' ? stat === 'hidden' : stat.isDirectory();
}

/** Of the user namespace that we build in. */
let areIdsKnown: boolean | undefined;
function isOwnedLike({ uid, gid }: fs.Stats, to: string): boolean {
  // An id without a number here looks like that of nobody.
  areIdsKnown ??= ['uid_map', 'gid_map'].every((map) => ALL_IDS.test(textOf(`/proc/self/${map}`)));
  if (!areIdsKnown) return false;
  return syscall(NR.chown, cString(to), uid, gid) === 0;
}

function narrowed(host: string, mode: number): number {
  const ours = RIGHTS.reduce((bits, right) => bits | (isPermitted(host, right) ? right : 0), 0);
  // Entries of an ACL may forbid what the mode gives.
  const all = hasAcl(host) ? 0 : (mode >> 6) & (mode >> 3) & mode & ours;
  return (ours << 6) | (all << 3) | all;
}

function isPermitted(path: string, rights: number): boolean {
  try {
    fs.accessSync(path, rights);
    return true;
  } catch {
    return false;
  }
}

function hasAcl(path: string): boolean {
  return syscall(NR.getxattr, cString(path), cString(ACCESS_ACL), 0, 0) > 0;
}
/** False: there is one, and it cannot be. */
function copyAcl(name: string, from: string, to: string): boolean {
  const bytes = Buffer.alloc(LONGEST_ACL);
  const length = syscall(NR.getxattr, cString(from), cString(name), bytes, bytes.length);
  if (length <= 0) return true;
  return syscall(NR.setxattr, cString(to), cString(name), bytes, length, 0) === 0;
}

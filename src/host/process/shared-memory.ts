/** Pages the kernel shares with a program's mmap: a memfd both have (FileOps.mmap with kind 'pages'). */
import { Bug } from '../../base/bug.ts';
import { ENOMEM, type Result } from '../../base/errno.ts';
import type { SharedPages } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import { Shortage } from '../../base/shortage.ts';
import { callLook } from './call-look.ts';
import { reopenMarked, seal, SEAL } from '../sys/open-file-description.ts';
import * as libc from '../sys/libc.ts';
import { memfdOf } from '../sys/memfd.ts';
import { lookAt, objectOf } from '../sys/look.ts';
import { orShortage } from '../sys/shortage.ts';

/** Pages that real processes can map: a memfd. */
export class HostPages implements SharedPages {
  readonly length: number;
  readonly fd: number;
  /** Its file, as /proc/PID/maps writes it. */
  readonly object: string;

  static create(length: number): Result<HostPages, 'ENOMEM'> {
    const flags = libc.MFD_CLOEXEC | libc.MFD_ALLOW_SEALING;
    const fd = orShortage(() => memfdOf('softiommu-pages', length, flags));
    if (fd instanceof Shortage) return refuse(ENOMEM, fd.message);
    if (fd < 0) return refuse(ENOMEM, 'the host has no memory to share', { errno: -fd });
    const sealed = seal(fd, SEAL.grow | SEAL.shrink);
    const look = lookAt(`/proc/self/fd/${fd}`);
    if (sealed < 0 || !look) throw new Bug('a memfd of ours could not be sealed, or not looked at');
    return new HostPages(fd, objectOf(look), length);
  }
  private constructor(fd: number, object: string, length: number) {
    this.object = object;
    this.fd = fd;
    this.length = length;
  }
  /** An open file description of its own, for a program to map once: it lives as long as what was mapped through it. */
  reopen(mark: number): number {
    return reopenMarked(this.fd, mark);
  }
  read(offset: number, into: Uint8Array): void {
    if (libc.pread(this.fd, into, offset) !== into.length) throw new Bug('beyond shared pages');
  }
  write(offset: number, from: Uint8Array): void {
    if (offset + from.length > this.length) throw new Bug('beyond shared pages');
    callLook.drop();
    libc.pwrite(this.fd, from, offset);
  }
  free(): void {
    libc.close(this.fd);
  }
}

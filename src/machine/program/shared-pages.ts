/** Pages the kernel shares with programs inside the library: an object both see. */
import { Bug } from '../../base/bug.ts';
import { isErrno } from '../../base/errno.ts';
import type { SharedPages } from '../../base/file.ts';
import { SharedObject } from './program-memory.ts';

export class PlainPages implements SharedPages {
  readonly object: SharedObject;

  constructor(name: string, lengthBytes: number) {
    this.object = new SharedObject(name, lengthBytes);
  }
  get length(): number {
    return this.object.bytes.length;
  }
  read(offset: number, into: Uint8Array): void {
    if (isErrno(this.object.read(BigInt(offset), into))) throw new Bug('read beyond shared pages');
  }
  write(offset: number, from: Uint8Array): void {
    if (isErrno(this.object.write(BigInt(offset), from)))
      throw new Bug('write beyond shared pages');
  }
  /** Memory of the library: it goes with the last mapping. */
  free(): void {
    // nothing to give back
  }
}

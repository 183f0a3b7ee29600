/** Pages shared by the kernel and programs inside the library: an array both see. */
import type { SharedPages } from '../base/file.ts';

export function newPlainPages(lengthBytes: number): SharedPages {
  const bytes = new Uint8Array(lengthBytes);
  return {
    length: lengthBytes,
    read: (offset, into) => {
      into.set(bytes.subarray(offset, offset + into.length));
    },
    write: (offset, from) => {
      bytes.set(from, offset);
    },
    free: () => undefined,
  };
}

/** From names of constants to their number: of the headers of iommufd and VFIO, and of the C library's calls that are shown. */
import * as iommufd from './iommufd.ts';
import * as vfio from './vfio.ts';

/** Arguments of open(2) and mmap(2) on x86-64. */
const LIBC: Readonly<Record<string, number>> = {
  AT_FDCWD: -100,
  MAP_PRIVATE: 2,
  MAP_SHARED: 1,
  O_NONBLOCK: 0o4000,
  O_RDONLY: 0,
  O_RDWR: 2,
  O_WRONLY: 1,
  PROT_EXEC: 4,
  PROT_NONE: 0,
  PROT_READ: 1,
  PROT_WRITE: 2,
};
const ALL: Readonly<Record<string, unknown>> = { ...iommufd, ...vfio, ...LIBC };

/** Of names and hex numbers with '|' between them. Undefined: one of them is none. */
export function constantOf(text: string): bigint | undefined {
  let value = 0n;
  for (const part of text.split('|')) {
    const known = Object.hasOwn(ALL, part) ? ALL[part] : undefined;
    if (typeof known === 'number') value |= BigInt(known);
    else if (typeof known === 'bigint') value |= known;
    else if (/^0x[0-9a-f]+$/.test(part)) value |= BigInt(part);
    else return undefined;
  }
  return value;
}

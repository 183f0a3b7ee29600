/** Storage of a machine: in memory, or a file of the host. Its shape, and whether it can be what is said of it. */
import * as z from 'zod';
import type { HostBackings } from '../../devices/host-services.ts';
import { bytesOf, LARGEST_DISK, SECTOR, SIZE_FORM } from './block-sizes.ts';
import { must, type Problem } from './shape-problems.ts';

const A_SIZE = {
  error: ({ input }: { readonly input?: unknown }) =>
    must("bytes, or a number with K, M, G or T such as '64M'", input),
};
const size = z.union([z.int().positive(), z.string().regex(SIZE_FORM, A_SIZE)], A_SIZE);

/** How a file may be used. */
export const BLOCK_MODES = ['read-write', 'read-only', 'copy-on-write'] as const;

const keys = {
  memory: size.optional().describe('in memory, that large; memory is taken as it is written'),
  file: z.string().min(1).optional().describe('on this file of the host'),
  mode: z
    .enum(BLOCK_MODES)
    .optional()
    .describe(
      'of a file: read-write (the default), read-only, or copy-on-write: what is written stays in memory',
    ),
  size: size.optional().describe('of a file that is not there: it is made, sparse and that large'),
};
/** One block device. */
export const blockShape = z.strictObject(keys);
/** Keys of one. */
export const BLOCK_KEYS = Object.keys(keys);
/** One block device as data. */
export type BlockDescription = z.output<typeof blockShape>;

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/;

/** Is each of them something that can be? */
export function blockProblems(blocks: Readonly<Record<string, BlockDescription>>): Problem[] {
  return Object.entries(blocks).flatMap(([name, block]) => {
    const at = (key: string, message: string): Problem => ({
      path: ['blocks', name, key].filter(Boolean),
      message,
    });
    const { memory, file } = block;
    const problems: Problem[] = [];
    if (!NAME.test(name)) problems.push(at('', must('1 to 32 letters, digits and . _ -', name)));
    if ((memory === undefined) === (file === undefined)) {
      problems.push(at('', 'a block device is in memory or on a file: one of memory and file'));
    }
    for (const key of ['mode', 'size'] as const) {
      if (file === undefined && block[key] !== undefined) {
        problems.push(at(key, `${key} is said of a file`));
      }
    }
    if (block.size !== undefined && block.mode === 'read-only') {
      problems.push(at('size', 'a file that is only read is not made'));
    }
    for (const key of ['memory', 'size'] as const) {
      const message = sizeProblem(block[key]);
      if (message !== undefined) problems.push(at(key, message));
    }
    return problems;
  });
}
function sizeProblem(size: number | string | undefined): string | undefined {
  if (size === undefined) return undefined;
  const bytes = bytesOf(size);
  if (bytes > LARGEST_DISK) return must('at most 1024T', size);
  return bytes % SECTOR === 0 ? undefined : must(`whole blocks of ${SECTOR} bytes`, size);
}

/** Names of all block devices: of the description, and those that were given with the machine. */
export function blockNames(
  blocks: Readonly<Record<string, BlockDescription>>,
  host: HostBackings,
): string[] {
  return [...new Set([...Object.keys(blocks), ...(host.blocks?.keys() ?? [])])];
}

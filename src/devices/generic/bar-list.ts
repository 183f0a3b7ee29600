/** BARs as one option says them, `0:mem64p:0x4000,2:io:32`. */
import type { BarSpec } from '../port.ts';

const KINDS = {
  io: { kind: 'io' },
  mem32: { kind: 'mem32' },
  mem32p: { kind: 'mem32', prefetchable: true },
  mem64: { kind: 'mem64' },
  mem64p: { kind: 'mem64', prefetchable: true },
} as const satisfies Record<string, Omit<BarSpec, 'index' | 'size'>>;

const ONE = '[0-5]:(?:io|mem(?:32|64)p?):(?:0x[0-9a-fA-F]{1,10}|[0-9]{1,12})';

/** What the option may be: nothing, or up to six of them. */
export const BAR_LIST_FORM = {
  words: "up to six INDEX:KIND:BYTES with commas between, such as '0:mem64p:0x4000,2:io:32'",
  pattern: new RegExp(`^(?:${ONE}(?:,${ONE}){0,5})?$`),
};

/** The text has the form; whether such BARs can exist is asked of the identity. */
export function barList(text: string): BarSpec[] {
  if (text === '') return [];
  return text.split(',').map((one) => {
    const [index = '', kind = '', size = ''] = one.split(':');
    // cast: the form allows the keys only
    return { index: Number(index), size: Number(size), ...KINDS[kind as keyof typeof KINDS] };
  });
}

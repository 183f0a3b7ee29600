/** How values are written in a trace for people: what `-s`, `-x`, `-X`, `-v` of strace choose. Writing them: styled-text.ts. */

/** How constants are written: by name, by number, or both. */
export const CONSTANT_STYLES = ['abbrev', 'raw', 'verbose'] as const;
/** One of them. */
export type ConstantStyle = (typeof CONSTANT_STYLES)[number];

/** What is chosen; plain data, for it crosses to the thread of the kernel. */
export interface TextStyle {
  /** Bytes of data that are shown; more are left out behind '...'. */
  readonly shownBytes: number;
  /** Bytes in hex: of data that is not text, or of all. */
  readonly hexBytes: 'never' | 'unprintable' | 'always';
  readonly constants: ConstantStyle;
  /** Nothing is abbreviated: paddings, whole structs, births of objects, and the same again and again. */
  readonly whole: boolean;
  /** 1: no page walks; 2: no ends of processes either. */
  readonly quiet: number;
  /** Before each line of a call: whose it is. */
  readonly pids: boolean;
}
/** As without any of the options. */
export const PLAIN_STYLE: TextStyle = {
  shownBytes: 32,
  hexBytes: 'never',
  constants: 'abbrev',
  whole: false,
  quiet: 0,
  pids: true,
};

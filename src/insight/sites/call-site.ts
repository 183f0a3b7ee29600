/** Where in a program a call comes from: what a report shows as a stack. The host knows it; a program of the library has none. */

/** A function on a stack. */
export interface StackFrame {
  /** Of the frames above the first: where its call returns to. */
  readonly pc: number;
  /** The file its code is mapped from; undefined: none, or one that is not known. */
  readonly module?: string;
  /** Bytes from the beginning of the module, as the module itself counts addresses. */
  readonly offset?: number;
  readonly function?: string;
  readonly source?: SourceLine;
}
/** A line of source code, by its file's name as the compiler was given it. */
export interface SourceLine {
  readonly file: string;
  readonly line: number;
}

/** One place that calls come from, over all callers on the stack. Equal stacks are one object. */
export interface CallSite {
  /** Innermost first; found out when it is asked for first. */
  readonly frames: readonly StackFrame[];
}

/** Knows whose call is going on. */
export interface CallSites {
  /** The place in the program; undefined: the call is nobody's, or its stack cannot be seen. */
  here(): CallSite | undefined;
}

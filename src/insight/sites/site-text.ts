/** Call sites for people. */
import type { CallSite, StackFrame } from './call-site.ts';

/** What wraps a system call and is none of the program's own code. */
const WRAPPER = /\/(libc|ld-linux|libpthread|ld-musl)[-.][^/]*$|\/libc\.so/;

/** The frame somebody looks for: the innermost with a line of source, or else the first outside of the C library. */
export function tellingFrame({ frames }: CallSite): StackFrame | undefined {
  return (
    frames.find(({ source }) => source !== undefined) ??
    frames.find(({ module }) => module !== undefined && !WRAPPER.test(module))
  );
}
/** 'at main, edu.c:42'; undefined: neither a name nor a line is known, and an address alone says nothing. */
export function siteText(site: CallSite): string | undefined {
  const frame = tellingFrame(site);
  if (!frame?.function && !frame?.source) return undefined;
  return `at ${[frame.function, placeText(frame)].filter(Boolean).join(', ')}`;
}
/** The same with its caller: a call in a wrapper is told by who calls that. ', called from start, edu.c:50' */
export function siteAndCallerText(site: CallSite): string | undefined {
  const text = siteText(site);
  const frame = tellingFrame(site);
  const caller = frame && site.frames[site.frames.indexOf(frame) + 1];
  if (text === undefined || !caller?.function || !caller.source) return text;
  return `${text}, called from ${caller.function}, ${placeText(caller)}`;
}
/** 'edu.c:42', or the module and the byte in it. */
function placeText({ source, module, offset, pc }: StackFrame): string {
  if (source) return `${source.file}:${source.line}`;
  return module === undefined
    ? `0x${pc.toString(16)}`
    : `${module}+0x${(offset ?? 0).toString(16)}`;
}
/** All frames in the shape of AddressSanitizer. */
export function stackLines(frames: readonly StackFrame[]): string[] {
  return frames.map((frame, n) => {
    const pc = `0x${frame.pc.toString(16).padStart(12, '0')}`;
    const { source, module, offset = 0 } = frame;
    const name = frame.function === undefined ? '' : ` in ${frame.function}`;
    const place = source
      ? ` ${source.file}:${source.line}`
      : module === undefined
        ? ''
        : ` (${module}+0x${offset.toString(16)})`;
    return `    #${n} ${pc}${name}${place}`;
  });
}

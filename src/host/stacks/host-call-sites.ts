/**
 * Where in its program a trapped call comes from. Its thread waits in the host's kernel: /proc/TID/syscall says where it is,
 * and the top of its stack is copied. Of the copy only what can be an address of code or of the stack is kept, so that equal
 * ways to a call are equal copies; they are followed when somebody looks.
 */
import type { KernelEnv } from '../../base/kernel-env.ts';
import type { CallSite, CallSites, StackFrame } from '../../insight/sites/call-site.ts';
import type { CodeMapping } from '../../insight/sites/module.ts';
import { unwind, type StackCopy } from '../../insight/sites/unwind.ts';
import { copy } from '../process/remote-memory.ts';
import * as libc from '../sys/libc.ts';
import { NR, O_CLOEXEC } from '../sys/numbers.ts';
import { CodeMappings } from './code-mappings.ts';

/** Of the stack of a caller, in bytes: what lies deeper is not followed. */
const COPIED = 8192;
/** How far from its top an address is taken for one of the stack. */
const STACK = 8 << 20;
/** Ways to calls that are kept; a program that has more is shown its first ones. */
const MOST_SITES = 4096;

/** Whose call it is. */
interface Caller {
  readonly tid: number;
  readonly pid: number;
}

/** Where a call is in its program, also when its thread is elsewhere already. */
export interface CallerSites {
  of(caller: Caller): CallSite | undefined;
  /** Until it is disposed of, what happens is called from there. */
  standing(site: CallSite): Disposable;
}

/** The call sites of a run. */
export class HostCallSites implements CallSites, CallerSites {
  readonly #env: KernelEnv;
  readonly #code = new CodeMappings();
  readonly #sites = new Map<string, CallSite>();
  readonly #stack = Buffer.alloc(COPIED);
  readonly #text = Buffer.alloc(512);
  #accessing: Caller | undefined;
  #standing: CallSite | undefined;

  constructor(env: KernelEnv) {
    this.#env = env;
  }
  here(): CallSite | undefined {
    if (this.#standing) return this.#standing;
    const caller = this.#env.current ?? this.#accessing;
    return caller && this.of(caller);
  }
  standing(site: CallSite): Disposable {
    this.#standing = site;
    return { [Symbol.dispose]: () => (this.#standing = undefined) };
  }
  /** Until the end of an access to registers: whose it is. */
  accessing(thread: Caller): Disposable {
    this.#accessing = thread;
    return { [Symbol.dispose]: () => (this.#accessing = undefined) };
  }
  of(caller: Caller): CallSite | undefined {
    const place = this.#placeOf(caller.tid);
    if (!place) return undefined;
    const length = copy(NR.process_vm_readv, caller.tid, BigInt(place.sp), this.#stack);
    if (length <= 0) return undefined;
    const { mappings } = this.#code.of(caller, place.pc);
    const { words, key } = addressesIn(this.#stack.subarray(0, length), { ...place, mappings });
    const known = this.#sites.get(key);
    if (known || this.#sites.size >= MOST_SITES) return known;
    const site = new CopiedSite({ ...place, words }, mappings);
    this.#sites.set(key, site);
    return site;
  }
  /** Undefined: it does not wait, or may not be looked at. */
  #placeOf(tid: number): { readonly pc: number; readonly sp: number } | undefined {
    const fd = libc.open(`/proc/${tid}/syscall`, O_CLOEXEC);
    if (fd < 0) return undefined;
    const length = libc.read(fd, this.#text);
    libc.close(fd);
    // '16 0x3 … 0x7ffd8a1c 0x7f32ab', or 'running'
    const fields = this.#text.toString('latin1', 0, Math.max(0, length)).trim().split(' ');
    const [sp, pc] = fields.slice(-2).map(Number);
    return sp !== undefined && pc !== undefined && sp > 0 && pc > 0 ? { pc, sp } : undefined;
  }
}

/** A copy that is followed when it is looked at, and then forgotten. */
class CopiedSite implements CallSite {
  #copied: { readonly stack: StackCopy; readonly code: readonly CodeMapping[] } | undefined;
  #frames: readonly StackFrame[] = [];

  constructor(stack: StackCopy, code: readonly CodeMapping[]) {
    this.#copied = { stack, code };
  }
  get frames(): readonly StackFrame[] {
    if (this.#copied) {
      this.#frames = unwind(this.#copied.stack, this.#copied.code);
      this.#copied = undefined;
    }
    return this.#frames;
  }
}

/** The words of a stack that are addresses of code or of the stack, the others 0, and what names them all. */
function addressesIn(
  bytes: Buffer,
  at: { readonly pc: number; readonly sp: number; readonly mappings: readonly CodeMapping[] },
): { readonly words: Float64Array; readonly key: string } {
  const { sp, pc, mappings } = at;
  const first = mappings[0]?.start ?? 0;
  const last = mappings.at(-1)?.end ?? 0;
  const words = new Float64Array(bytes.length >> 3);
  const hash = [0x811c9dc5, pc | 0];
  for (let n = 0; n < words.length; n++) {
    const word = bytes.readUInt32LE(n * 8) + bytes.readUInt32LE(n * 8 + 4) * 2 ** 32;
    const isStack = word >= sp && word < sp + STACK;
    const isCode = word >= first && word < last && isIn(mappings, word);
    if (!isStack && !isCode) continue;
    words[n] = word;
    hash[0] = Math.imul(hash[0]! ^ (word | 0) ^ n, 0x01000193);
    hash[1] = Math.imul(hash[1]! + (word % 0x7fffffff) + n, 0x85ebca6b);
  }
  return { words, key: `${pc} ${sp} ${hash.join(' ')}` };
}
function isIn(mappings: readonly CodeMapping[], address: number): boolean {
  return mappings.some(({ start, end }) => address > start && address <= end);
}

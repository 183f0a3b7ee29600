/**
 * Where in its program a trapped call comes from. Its thread waits in the host's kernel: where it is and what is on its stack can
 * be seen (stack-look.ts). Of the copy only what can be an address of code or of the stack is kept (address-words.ts), so that
 * equal ways to a call are one site; they are followed when somebody looks.
 */
import type { KernelEnv } from '../../base/kernel-env.ts';
import type { CallSite, CallSites, StackFrame } from '../../insight/sites/call-site.ts';
import type { CodeMapping } from '../../insight/sites/module.ts';
import { unwind } from '../../insight/sites/unwind.ts';
import type { Caller } from '../process/processes.ts';
import { AddressScan, isSameWay, wordsOf, type AddressWords } from './address-words.ts';
import { CodeMappings } from './code-mappings.ts';
import { StackLook, type SeenStack, type ThreadPlace } from './stack-look.ts';

/** Ways to calls that are kept; a program that has more is shown its first ones. */
const MOST_SITES = 4096;

/** Whose access it is, and where it has stopped. */
export interface StoppedCaller extends Caller {
  readonly place: ThreadPlace;
}

/** Where a call is in its program, also when its thread is elsewhere already. */
export interface CallerSites extends CallSites {
  of(caller: Caller): CallSite | undefined;
  /** Until it is disposed of, what happens is called from there. */
  standing(site: CallSite): Disposable;
}

/** The call sites of a run. */
export class HostCallSites implements CallerSites {
  readonly #env: KernelEnv;
  readonly #code = new CodeMappings();
  readonly #stacks = new StackLook();
  readonly #scan = new AddressScan(StackLook.most);
  /** By where the stack begins; the one that was met last comes first. */
  readonly #sites = new Map<number, CopiedSite[]>();
  #count = 0;
  #accessing: StoppedCaller | undefined;
  #standing: CallSite | undefined;

  constructor(env: KernelEnv) {
    this.#env = env;
  }
  /** From now on system calls that always come together are a list (sys/steps.ts). */
  beginSteps(): void {
    this.#stacks.begin();
  }
  /** The run is over: nothing is looked at any more. */
  close(): void {
    this.#stacks.close();
  }
  here(): CallSite | undefined {
    if (this.#standing) return this.#standing;
    const caller = this.#env.current;
    if (caller) return this.of(caller);
    return this.#accessing && this.#ofStopped(this.#accessing);
  }
  standing(site: CallSite): Disposable {
    this.#standing = site;
    return { [Symbol.dispose]: () => (this.#standing = undefined) };
  }
  /** Until the end of an access to registers: whose it is. */
  accessing(thread: StoppedCaller): Disposable {
    this.#accessing = thread;
    return { [Symbol.dispose]: () => (this.#accessing = undefined) };
  }
  of(caller: Caller): CallSite | undefined {
    const seen = this.#stacks.look(caller);
    return seen && this.#siteOf(caller, seen);
  }
  #ofStopped(caller: StoppedCaller): CallSite | undefined {
    const seen = this.#stacks.lookAt(caller.tid, caller.place);
    return seen && this.#siteOf(caller, seen);
  }
  #siteOf(caller: Caller, seen: SeenStack): CallSite | undefined {
    const { words } = this.#stacks;
    const here = this.#sites.get(seen.sp) ?? [];
    const at = here.findIndex((site) => site.isOf(seen, words));
    if (at >= 0) return toFront(here, at);
    return this.#count < MOST_SITES ? this.#copied(caller, seen, here) : undefined;
  }
  #copied(caller: Caller, seen: SeenStack, here: CopiedSite[]): CallSite {
    const code = this.#code.of(caller, seen.pc);
    this.#scan.scan(this.#stacks.words, seen, code);
    const site = new CopiedSite(seen, this.#scan.take(), code.mappings);
    here.unshift(site);
    this.#sites.set(seen.sp, here);
    this.#count++;
    return site;
  }
}

/** A list that is searched from its front. */
function toFront<T>(list: T[], at: number): T {
  const one = list[at]!;
  if (at > 0) {
    list.splice(at, 1);
    list.unshift(one);
  }
  return one;
}

/** A copy that is followed when it is looked at. */
class CopiedSite implements CallSite {
  readonly #words: AddressWords;
  readonly #place: ThreadPlace;
  #code: readonly CodeMapping[] | undefined;
  #frames: readonly StackFrame[] = [];

  constructor({ pc, sp }: ThreadPlace, words: AddressWords, code: readonly CodeMapping[]) {
    this.#place = { pc, sp };
    this.#words = words;
    this.#code = code;
  }
  /** Is a stack that begins at the same address this one? */
  isOf({ pc, first, count }: SeenStack, words: Uint32Array): boolean {
    const isThere = pc === this.#place.pc && count >= this.#words.count;
    return isThere && isSameWay(this.#words, words, first);
  }
  get frames(): readonly StackFrame[] {
    if (this.#code) {
      this.#frames = unwind({ ...this.#place, words: wordsOf(this.#words) }, this.#code);
      this.#code = undefined;
    }
    return this.#frames;
  }
}

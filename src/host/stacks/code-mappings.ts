/** What code programs have mapped: looked up when a call comes from where none was known, and now and then. */
import { Module, type CodeMapping } from '../../insight/sites/module.ts';
import { CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH } from '../../base/task.ts';
import type { Cred } from '../../machine/files/rights.ts';
import { HostCred } from '../process/credentials.ts';
import { parseMaps } from '../process/memory-map.ts';
import { monotonicNs } from '../sys/libc.ts';
import { textOf } from '../sys/procfs.ts';
import { codeReader } from './code-file.ts';

/** What a program loads while it runs is known after this time. */
const FRESH_NS = 100e6;
const PAGE = 4096;

/** The code of one process, in order, at one moment. */
export class ProcessCode {
  readonly mappings: readonly CodeMapping[];
  readonly readNs = monotonicNs();
  readonly #starts: Float64Array;

  constructor(mappings: readonly CodeMapping[]) {
    this.mappings = mappings;
    this.#starts = Float64Array.from(mappings, ({ start }) => start);
  }
  /** Of the first. */
  get start(): number {
    return this.mappings[0]?.start ?? 0;
  }
  /** Of the last. */
  get end(): number {
    return this.mappings.at(-1)?.end ?? 0;
  }
  /** Is there code at this address? */
  has(pc: number): boolean {
    return this.returnsTo(pc + 1);
  }
  /** Is there code before this address, so that a call may return to it? */
  returnsTo(address: number): boolean {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle]! < address) low = middle + 1;
      else high = middle;
    }
    return low > 0 && address <= this.mappings[low - 1]!.end;
  }
}

/** The code of all processes of a run. */
export class CodeMappings {
  readonly #processes = new Map<number, ProcessCode>();
  readonly #modules = new Map<string, Module>();

  /** Of the process `pid`, of which `tid` is a thread that is at `pc`. */
  of({ pid, tid }: { readonly pid: number; readonly tid: number }, pc: number): ProcessCode {
    const known = this.#processes.get(pid);
    if (known?.has(pc) && monotonicNs() - known.readNs < FRESH_NS) return known;
    const code = new ProcessCode(this.#read(tid));
    this.#processes.set(pid, code);
    return code;
  }
  #read(tid: number): CodeMapping[] {
    const lines = parseMaps(textOf(`/proc/${tid}/maps`)).filter(
      ({ executable, name }) => executable && name !== '',
    );
    const cred = credNow(tid);
    return lines.map(({ start, end, objectOffset, name, object }) => ({
      start: start * PAGE,
      end: end * PAGE,
      fileOffset: objectOffset * PAGE,
      module: this.#module(name, object ?? '', cred),
    }));
  }
  #module(path: string, object: string, cred: Cred): Module {
    const key = `${object} ${cred.uid} ${path}`;
    let module = this.#modules.get(key);
    if (!module) {
      module = new Module(path, codeReader({ path, object, cred }));
      this.#modules.set(key, module);
    }
    return module;
  }
}

/** As it is now: the program will have ended when its files are read. */
function credNow(tid: number): Cred {
  const { uid, gid, groups, ...cred } = copyOf(new HostCred(tid, 'fs', undefined));
  return { uid, gid, groups, capable: (cap) => cred.capabilities.has(cap) };
}
function copyOf(cred: HostCred) {
  const capabilities = [CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH].filter((cap) => cred.capable(cap));
  return { uid: cred.uid, gid: cred.gid, groups: cred.groups, capabilities: new Set(capabilities) };
}

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
export interface ProcessCode {
  readonly mappings: readonly CodeMapping[];
  readonly readNs: number;
}

/** The code of all processes of a run. */
export class CodeMappings {
  readonly #processes = new Map<number, ProcessCode>();
  readonly #modules = new Map<string, Module>();

  /** Of the process `pid`, of which `tid` is a thread that is at `pc`. */
  of({ pid, tid }: { readonly pid: number; readonly tid: number }, pc: number): ProcessCode {
    const known = this.#processes.get(pid);
    if (known && isCovered(known, pc) && monotonicNs() - known.readNs < FRESH_NS) return known;
    const code = { mappings: this.#read(tid), readNs: monotonicNs() };
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

function isCovered({ mappings }: ProcessCode, pc: number): boolean {
  return mappings.some(({ start, end }) => pc >= start && pc < end);
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

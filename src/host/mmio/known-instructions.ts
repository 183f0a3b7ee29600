/** The instructions of programs at accesses to registers, decoded once. */
import { RemoteMemory } from '../process/remote-memory.ts';
import { decodeAccess, type MemoryAccess } from './mmio-decode.ts';
import { LONGEST_INSTRUCTION } from './next-stop.ts';

const MAX_DECODED = 4096;

/** `code`: the bytes there, if they are known; `quietly`: what is no access is not told. */
interface DecodeHow {
  readonly code?: Buffer | undefined;
  readonly quietly?: true;
}

/** What was decoded. */
export class KnownInstructions {
  readonly #decoded = new Map<string, MemoryAccess>();
  readonly #warn: (text: string) => void;

  /** `warn`: a line for the user of softiommu. */
  constructor(warn: (text: string) => void) {
    this.#warn = warn;
  }
  /** By its bytes, so that code that changes is decoded again. */
  at(tid: number, rip: bigint, how: DecodeHow): MemoryAccess | undefined {
    const bytes = how.code ?? codeAt(tid, rip);
    const key = bytes.toString('latin1');
    const known = this.#decoded.get(key);
    if (known) return known;
    const access = decodeAccess(bytes);
    if (access && this.#decoded.size < MAX_DECODED) this.#decoded.set(key, access);
    if (!access && !how.quietly) {
      const what = bytes.length > 0 ? bytes.toString('hex') : 'an instruction in device registers';
      this.#warn(`cannot carry out ${what} at 0x${rip.toString(16)}`);
    }
    return access;
  }
}

function codeAt(tid: number, rip: bigint): Buffer {
  const code = Buffer.alloc(LONGEST_INSTRUCTION);
  const length = new RemoteMemory(tid, { isStopped: true }).readSome(rip, code);
  return code.subarray(0, length);
}

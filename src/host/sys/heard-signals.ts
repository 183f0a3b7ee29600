/**
 * Signals that come to this process, with who has sent each, which Node does not tell.
 *
 * Some instructions of ours are the handler of all that mean a program: they keep what the kernel says of a signal, and go on to
 * libuv's handler as if it had been SIGUSR2, of which Node tells as ever. A signal that the kernel raises for a fault of our own
 * means what it did before.
 */
import { constants } from 'node:os';
import { actionOf, addressForGood, handlerOf, handleSignalAt, mapCode, syscall } from './ffi.ts';
import { goToCode, handedOnCode, u32, u64 } from './machine-code.ts';
import { NR, SIG_IGN, SIGPROF } from './numbers.ts';

/** A signal that has come. */
export interface HeardSignal {
  readonly signal: number;
  /** si_code: positive when the kernel itself sent it. */
  readonly code: number;
  /** Who sent it, where somebody did. */
  readonly pid: number;
  /** sigqueue(3) has given it to the signal. */
  readonly value: bigint;
}

const { signals } = constants;
const KNOCK = 'SIGUSR2';
/** What a fault of the process itself raises, or a limit of it: of one that was sent the code is not positive. */
const RAISED: readonly number[] = [
  ...[signals.SIGILL, signals.SIGTRAP, signals.SIGABRT, signals.SIGBUS, signals.SIGFPE],
  ...[signals.SIGSEGV, signals.SIGXCPU, signals.SIGXFSZ, signals.SIGSYS],
];
const SENT: readonly number[] = [
  ...[signals.SIGHUP, signals.SIGINT, signals.SIGQUIT, signals.SIGUSR1, signals.SIGUSR2],
  ...[signals.SIGALRM, signals.SIGTERM, signals.SIGSTKFLT, signals.SIGCONT, signals.SIGURG],
  ...[signals.SIGVTALRM, SIGPROF, signals.SIGWINCH, signals.SIGIO, signals.SIGPWR],
  // SIGRTMIN to SIGRTMAX, of which prompt-seize.ts has the last.
  ...Array.from({ length: 30 }, (_, n) => 34 + n),
];
/** Of a mask. */
const MASK_SIZE = 8;

const ENTRIES = 64;
/** Signal, code, the words of siginfo_t that say who and what with it. The first place is the counter's. */
const ENTRY = { size: 32, code: 4, sender: 8, value: 16 } as const;
const SIGINFO = { code: 8, sender: 16, value: 24 } as const;

/** What is made once in a process, and stays. */
interface Keeper {
  readonly ring: Buffer;
  /** By signal: what handles it, and what did when that was made. */
  readonly handlers: ReadonlyMap<number, { readonly at: number; readonly before: bigint }>;
}
let keeper: Keeper | undefined;
/** When libuv handles the knock. */
function makeKeeper(): Keeper {
  const ring = Buffer.alloc((1 + ENTRIES) * ENTRY.size);
  const keep = mapCode(keepCode(addressForGood(ring), Number(handlerOf(signals[KNOCK]))));
  const raised = RAISED.map((signal) => {
    const before = handlerOf(signal);
    return [signal, { at: mapCode(raisedCode(signal, keep, before)), before }] as const;
  });
  const sent = SENT.map((signal) => [signal, { at: keep, before: handlerOf(signal) }] as const);
  return { ring, handlers: new Map([...sent, ...raised]) };
}

/** All that come from now on, until it is disposed. HostError: the host lets no machine code of ours run. */
export class HeardSignals implements Disposable {
  readonly #keeper: Keeper;
  readonly #before = new Map<number, Buffer>();
  readonly #hear: () => void;
  #taken: number;

  /** `hear` is given each, in their order. */
  constructor(hear: (signal: HeardSignal) => void) {
    this.#hear = () => {
      for (const heard of this.#take()) hear(heard);
    };
    process.on(KNOCK, this.#hear);
    this.#keeper = keeper ??= makeKeeper();
    this.#taken = this.#keeper.ring.readUInt32LE(0);
    for (const [signal, { at, before }] of this.#keeper.handlers) {
      // Somebody has handled it since then, and hands on what is not theirs (guarded-copy.ts). Whoever takes profiles has SIGPROF.
      const action = actionOf(signal);
      if (action.readBigUInt64LE() !== before || before === SIG_IGN) continue;
      if (signal === SIGPROF && before > SIG_IGN) continue;
      this.#before.set(signal, action);
      handleSignalAt(signal, at, { isAlone: true });
    }
  }
  *#take(): Iterable<HeardSignal> {
    const { ring } = this.#keeper;
    const count = ring.readUInt32LE(0);
    this.#taken = Math.max(this.#taken, count - ENTRIES);
    for (; this.#taken < count; this.#taken++) {
      const at = (1 + (this.#taken % ENTRIES)) * ENTRY.size;
      yield {
        signal: ring.readInt32LE(at),
        code: ring.readInt32LE(at + ENTRY.code),
        pid: ring.readInt32LE(at + ENTRY.sender),
        value: ring.readBigUInt64LE(at + ENTRY.value),
      };
    }
  }
  [Symbol.dispose](): void {
    for (const [signal, action] of this.#before) {
      syscall(NR.rt_sigaction, signal, action, 0, MASK_SIZE);
    }
    process.off(KNOCK, this.#hear);
  }
}
/** The signal is in edi, its siginfo_t in rsi, and libuv's handler takes what comes in edi. */
function keepCode(ring: number, libuv: number): Buffer {
  return Buffer.from([
    ...[0x48, 0xb9, ...u64(ring)], //                    mov rcx, ring
    ...[0xb8, ...u32(1)], //                             mov eax, 1
    ...[0xf0, 0x0f, 0xc1, 0x01], //                      lock xadd [rcx], eax
    ...[0x83, 0xe0, ENTRIES - 1], //                     and eax, ENTRIES - 1
    ...[0xff, 0xc0], //                                  inc eax
    ...[0xc1, 0xe0, Math.log2(ENTRY.size)], //           shl eax, …
    ...[0x48, 0x01, 0xc1], //                            add rcx, rax
    ...[0x89, 0x39], //                                  mov [rcx], edi
    ...[0x8b, 0x46, SIGINFO.code], //                    mov eax, [rsi + code]
    ...[0x89, 0x41, ENTRY.code], //                      mov [rcx + code], eax
    ...[0x48, 0x8b, 0x46, SIGINFO.sender], //            mov rax, [rsi + sender]
    ...[0x48, 0x89, 0x41, ENTRY.sender], //              mov [rcx + sender], rax
    ...[0x48, 0x8b, 0x46, SIGINFO.value], //             mov rax, [rsi + value]
    ...[0x48, 0x89, 0x41, ENTRY.value], //               mov [rcx + value], rax
    ...[0xbf, ...u32(signals[KNOCK])], //                mov edi, SIGUSR2
    ...goToCode(libuv),
  ]);
}
/** One that was raised goes to whoever had it before; where nobody did it ends us, as it would have. */
function raisedCode(signal: number, keep: number, before: bigint): Buffer {
  const kept = goToCode(keep);
  return Buffer.from([
    ...[0x83, 0x7e, SIGINFO.code, 0x00], //              cmp dword [rsi + code], 0
    ...[0x7f, kept.length], //                           jg before
    ...kept,
    ...handedOnCode(signal, before),
  ]);
}

/**
 * The only file that loads native code: one way to make system calls, a few functions of the C library, and machine code of ours.
 *
 * Memory is collected when nobody holds it, whatever the host's kernel was told. So no address of ours leaves this file
 * alone: bytes are given to a call as they are and live through it, a struct owns what it points to (setPointer), and what
 * remembers an address, as machine code does, is told one of memory that is kept for good (addressForGood).
 */
import { createRequire } from 'node:module';
import { MAP_ANONYMOUS, MAP_PRIVATE, NR, PROT_READ, PROT_WRITE } from './numbers.ts';

type NativeFunction = (...args: readonly unknown[]) => number | bigint;
interface Koffi {
  load(path: string | null): {
    func(name: string, result: string, args: readonly string[]): NativeFunction;
  };
  address(value: unknown): bigint;
  view(address: bigint, length: number): ArrayBuffer;
  proto(declaration: string): unknown;
  decode(address: bigint, prototype: unknown): NativeFunction;
  errno(): number;
}

/** Something the host lacks; the message names it and the remedy. Shown to the user as one line. */
export class HostError extends Error {
  override name = 'HostError';
}

function loadKoffi(): Koffi {
  try {
    // cast: createRequire knows no types
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch {
    throw new HostError(
      "the optional package 'koffi' is not installed, so foreign programs cannot be run: npm install koffi",
    );
  }
}

if (process.platform !== 'linux' || process.arch !== 'x64') {
  throw new HostError(
    `programs can be run on Linux x86-64 only; this is ${process.platform} ${process.arch}`,
  );
}
const koffi = loadKoffi();
const libc = koffi.load(null);
const rawSyscall = libc.func('syscall', 'long', [
  'long',
  'int64',
  'int64',
  'int64',
  'int64',
  'int64',
  'int64',
]);
const rawSpawn = libc.func('posix_spawn', 'int', [
  'void*',
  'str',
  'int64',
  'int64',
  'int64',
  'int64',
]);
const rawSigaction = libc.func('sigaction', 'int', ['int', 'int64', 'int64']);
const rawOnce = libc.func('pthread_once', 'int', ['int64', 'int64']);
const dlsym = libc.func('dlsym', 'uint64', ['int64', 'str']);

/** A number where 53 bits are enough. */
export type SyscallArgument = number | bigint;
/** An argument of a system call. Of bytes the kernel gets the address. */
export type Argument = SyscallArgument | Uint8Array;

/** What the call that is under way was given, held here until the next one. */
const underWay: { arguments: unknown } = { arguments: undefined };

/** The result, or minus the errno: what the kernel itself returns. */
export function syscall(nr: number, ...given: readonly Argument[]): number {
  underWay.arguments = given;
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = given;
  const result = Number(rawSyscall(nr, word(a), word(b), word(c), word(d), word(e), word(f)));
  return result === -1 ? -koffi.errno() : result;
}
function word(argument: Argument): SyscallArgument {
  return typeof argument === 'object' ? addressOf(argument) : argument;
}

const addresses = new WeakMap<ArrayBufferLike, number>();

/** Where the bytes are. Remembered per buffer: the memory behind an ArrayBuffer does not move. */
function addressOf(bytes: Uint8Array): number {
  let base = addresses.get(bytes.buffer);
  if (base === undefined) {
    base = Number(koffi.address(new Uint8Array(bytes.buffer)));
    addresses.set(bytes.buffer, base);
  }
  return base + bytes.byteOffset;
}

const pointees = new WeakMap<ArrayBufferLike, Map<number, Uint8Array>>();

/** Let the 8 bytes of a struct at an offset point to other bytes: these live as long as the struct, or until it points elsewhere. */
export function setPointer(struct: Buffer, at: number, target: Uint8Array): void {
  struct.writeBigUInt64LE(BigInt(addressOf(target)), at);
  const owned = pointees.get(struct.buffer) ?? new Map<number, Uint8Array>();
  pointees.set(struct.buffer, owned);
  owned.set(struct.byteOffset + at, target);
}

const keptForGood: Uint8Array[] = [];

/** Where the bytes are, and will be until the end of the process: for those who remember it. */
export function addressForGood(bytes: Uint8Array): number {
  keptForGood.push(bytes);
  return addressOf(bytes);
}

/** The memory at an address, which must stay mapped for good. */
export function viewOf(address: number, length: number): Buffer {
  return Buffer.from(koffi.view(BigInt(address), length));
}

const PAGE = 4096;
const PROT_EXEC = 4;

/** New memory of ours, all zero, for good. HostError: there is none; `what` says for what. */
export function mapMemory(length: number, what: string): number {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const at = syscall(NR.mmap, 0, length, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (at < 0) throw new HostError(`no memory ${what} (errno ${-at})`);
  return at;
}

/** Put machine code where it can be executed, for good. */
export function mapCode(code: Buffer): number {
  const at = mapMemory(PAGE, 'for machine code');
  viewOf(at, code.length).set(code);
  const rc = syscall(NR.mprotect, at, PAGE, PROT_READ | PROT_EXEC);
  if (rc < 0) throw new HostError(`this host lets no memory become executable (errno ${-rc})`);
  return at;
}
/** Call a C function that takes nothing and returns nothing. */
export function callAt(address: number): void {
  const once = Buffer.alloc(4);
  underWay.arguments = once;
  rawOnce(addressOf(once), address);
}

/** A C function at an address that takes a pointer and returns a number: some 30 ns a call, where callAt() takes 500. */
export function functionAt(address: number): (memory: Uint8Array) => number {
  const call = koffi.decode(BigInt(address), (pointerToNumber ??= koffi.proto(POINTER_TO_NUMBER)));
  return (memory) => {
    underWay.arguments = memory;
    return Number(call(addressOf(memory)));
  };
}
const POINTER_TO_NUMBER = 'int64 PointerToNumber(int64)';
let pointerToNumber: unknown;

/** A NUL-terminated copy of a string, for a system call. */
export function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

/** A NULL-terminated array of strings. */
export function cStrings(texts: readonly string[]): Buffer {
  const table = Buffer.alloc((texts.length + 1) * 8);
  texts.forEach((text, index) => {
    setPointer(table, index * 8, cString(text));
  });
  return table;
}

/** Start a program as a child of this thread. The result is its pid or minus an errno. */
export function posixSpawn(path: string, argv: readonly string[], envp: readonly string[]): number {
  const pid = Buffer.alloc(4);
  const args = cStrings(argv);
  const env = cStrings(envp);
  underWay.arguments = [args, env];
  const error = Number(rawSpawn(pid, path, 0, 0, addressOf(args), addressOf(env)));
  return error === 0 ? pid.readInt32LE(0) : -error;
}

/** Handle a signal by calling a harmless C function: its only effect is to interrupt a wait with EINTR. */
export function interruptOn(signal: number): void {
  const action = Buffer.alloc(152);
  action.writeBigUInt64LE(BigInt(dlsym(0, 'getpid')), 0);
  sigaction(signal, action);
}

/**
 * Handle a signal by machine code, which is called as a C function with SA_SIGINFO is. `isAlone`: no other signal is handled
 * meanwhile, and calls of this process that can go on do.
 */
export function handleSignalAt(signal: number, address: number, { isAlone = false } = {}): void {
  const [SA_SIGINFO, SA_RESTART] = [4, 0x10000000];
  const action = Buffer.alloc(152);
  action.writeBigUInt64LE(BigInt(address), 0);
  if (isAlone) action.fill(0xff, 8, 136);
  action.writeInt32LE(isAlone ? SA_SIGINFO | SA_RESTART : SA_SIGINFO, 136);
  sigaction(signal, action);
}
/** What handles a signal: an address, SIG_DFL or SIG_IGN. */
export function handlerOf(signal: number): bigint {
  return actionOf(signal).readBigUInt64LE();
}
/** rt_sigaction(2): a signal's struct sigaction, as the kernel has it. */
export function actionOf(signal: number): Buffer {
  const action = Buffer.alloc(32);
  syscall(NR.rt_sigaction, signal, 0, action, 8);
  return action;
}

/** A signal means nothing to this process, and to what it executes. */
export function ignoreSignal(signal: number): void {
  const SIG_IGN = 1n;
  const action = Buffer.alloc(152);
  action.writeBigUInt64LE(SIG_IGN, 0);
  sigaction(signal, action);
}

/** Give a signal back its default meaning, so that it is not inherited as ignored. */
export function defaultSignal(signal: number): void {
  sigaction(signal, Buffer.alloc(152));
}
function sigaction(signal: number, action: Buffer): void {
  underWay.arguments = action;
  rawSigaction(signal, addressOf(action), 0);
}

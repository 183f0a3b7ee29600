/**
 * Gathers and scatters: elements of a vector register, each from or to an address of its own, which a vector of indexes says.
 *
 * Elements go in ascending order, those that the mask chooses, and each takes its bit of the mask with it: a fault leaves what
 * came before it done, and the instruction goes on from there when it is run again.
 */
import type * as Iced from 'iced-x86';
import type { Emulated, Stopped } from './stopped.ts';
import type { InstructionFault } from '../process/instruction-memory.ts';
import { effectiveAddress, type EffectiveAddress } from './effective-address.ts';
import { iced } from './iced.ts';
import { componentOffset, sharedMemory } from './native-code.ts';

/** Of an XSAVE area: SSE registers, and which components are not as at the start. */
const SSE = 160;
const PRESENT = 512;
/** Components of vector registers, and what of each register they hold. */
const COMPONENT = { sse: 1, upper: 2, opmask: 5, upper512: 6, high512: 7 } as const;
const ALL_VECTORS = 0b1110_0110;
const UPPER_VECTORS = [COMPONENT.upper, COMPONENT.upper512, COMPONENT.high512] as const;
const WIDEST = 64;

/** Where a gather or scatter has its elements, its indexes and its mask: registers by number. */
export interface GatherForm {
  readonly stores: boolean;
  readonly data: number;
  readonly index: number;
  readonly indexWidth: 4 | 8;
  readonly scale: bigint;
  /** Bytes of an element. */
  readonly element: number;
  readonly count: number;
  /** In an opmask register, or the signs of the elements of a vector register. */
  readonly mask: { readonly by: 'opmask' | 'sign'; readonly register: number };
}

/** What is known of the instruction when it is carried out. */
export interface GatherAccess {
  readonly place: EffectiveAddress;
  readonly gather?: GatherForm;
}

/** Undefined: none that is carried out. */
export function gatherForm(instruction: Iced.Instruction): GatherForm | undefined {
  const isPrefetch = /pf\d/.test(iced.Mnemonic[instruction.mnemonic]);
  const hasShortAddress = iced.RegisterExt.size(instruction.memoryBase) === 4;
  if (!instruction.isVsib || isPrefetch || hasShortAddress) return undefined;
  const stores = instruction.op0Kind === iced.OpKind.Memory;
  const data = instruction.opRegister(stores ? 1 : 0);
  const byMask = instruction.opMask !== iced.Register.None;
  if (!byMask && instruction.opCount < 3) return undefined;
  const element = iced.MemorySizeExt.size(instruction.memorySize);
  const indexWidth = instruction.isVsib64 ? 8 : 4;
  const index = instruction.memoryIndex;
  return {
    ...{ stores, element, indexWidth },
    data: iced.RegisterExt.number(data),
    index: iced.RegisterExt.number(index),
    scale: BigInt(instruction.memoryIndexScale),
    count: Math.min(
      iced.RegisterExt.size(data) / element,
      iced.RegisterExt.size(index) / indexWidth,
    ),
    mask: byMask
      ? { by: 'opmask', register: instruction.opMask - iced.Register.K0 }
      : { by: 'sign', register: iced.RegisterExt.number(instruction.opRegister(2)) },
  };
}

/** 'unknown': the thread's vector registers cannot be had. */
export function gather(access: GatherAccess, stopped: Stopped): Emulated {
  const form = access.gather!;
  const area = sharedMemory().vectors;
  const length = stopped.vectors.get(area);
  if (length <= 0) return 'unknown';
  const state = new VectorRegisters(area);
  const fault = moveElements(form, state, access, stopped);
  if (!fault) endMask(form, state);
  if (!fault && !form.stores) state.clearFrom(form.data, form.count * form.element);
  state.keep();
  stopped.vectors.set(area.subarray(0, length));
  return fault ?? 'done';
}

function moveElements(
  form: GatherForm,
  state: VectorRegisters,
  access: GatherAccess,
  { memory, regs }: Stopped,
): InstructionFault | undefined {
  const { count, element, index, indexWidth, scale, stores } = form;
  const base = effectiveAddress(access.place, regs);
  for (let n = 0; n < count; n++) {
    if (!isChosen(form, state, n)) continue;
    const distance = BigInt.asIntN(indexWidth * 8, state.get(index, n * indexWidth, indexWidth));
    const address = BigInt.asUintN(64, base + distance * scale);
    const fault = memory.check(address, element, stores);
    if (fault) return fault;
    if (stores) memory.store(address, element, state.get(form.data, n * element, element));
    else state.set(form.data, n * element, element, memory.load(address, element));
    unchoose(form, state, n);
  }
  return undefined;
}

function isChosen({ element, mask }: GatherForm, state: VectorRegisters, n: number): boolean {
  if (mask.by === 'opmask') return ((state.opmask(mask.register) >> BigInt(n)) & 1n) !== 0n;
  return (state.get(mask.register, (n + 1) * element - 1, 1) & 0x80n) !== 0n;
}
function unchoose({ element, mask }: GatherForm, state: VectorRegisters, n: number): void {
  if (mask.by === 'sign') state.set(mask.register, n * element, element, 0n);
  else state.setOpmask(mask.register, state.opmask(mask.register) & ~(1n << BigInt(n)));
}
function endMask({ mask }: GatherForm, state: VectorRegisters): void {
  if (mask.by === 'opmask') state.setOpmask(mask.register, 0n);
  else state.clearFrom(mask.register, 0);
}

/** Vector and opmask registers in an XSAVE area of standard form. */
class VectorRegisters {
  readonly #area: Buffer;
  readonly #present: number;
  constructor(area: Buffer) {
    this.#area = area;
    this.#present = area.readUInt32LE(PRESENT);
    // What is as at the start has no bytes that count.
    if (!this.#has(COMPONENT.sse)) area.fill(0, SSE, SSE + 256);
    for (const component of UPPER_VECTORS) {
      if (this.#has(component) || componentOffset(component) === 0) continue;
      const size = { [COMPONENT.upper]: 256, [COMPONENT.upper512]: 512, [COMPONENT.high512]: 1024 };
      const at = componentOffset(component);
      area.fill(0, at, at + size[component]);
    }
  }
  #has(component: number): boolean {
    return (this.#present & (1 << component)) !== 0;
  }
  /** Of one of the 32; `at` is a byte of it. */
  #place(register: number, at: number): number {
    if (register >= 16) return componentOffset(COMPONENT.high512) + (register - 16) * 64 + at;
    if (at < 16) return SSE + register * 16 + at;
    if (at < 32) return componentOffset(COMPONENT.upper) + register * 16 + at - 16;
    return componentOffset(COMPONENT.upper512) + register * 32 + at - 32;
  }
  get(register: number, at: number, width: number): bigint {
    const place = this.#place(register, at);
    if (width === 8) return this.#area.readBigUInt64LE(place);
    return BigInt(this.#area.readUIntLE(place, width));
  }
  set(register: number, at: number, width: number, value: bigint): void {
    const place = this.#place(register, at);
    if (width === 8) this.#area.writeBigUInt64LE(value, place);
    else this.#area.writeUIntLE(Number(value), place, width);
  }
  /** As wide as this processor has it. */
  clearFrom(register: number, from: number): void {
    const widest = componentOffset(COMPONENT.upper512) === 0 ? WIDEST / 2 : WIDEST;
    for (let at = from; at < widest; at += 4) this.set(register, at, 4, 0n);
  }
  opmask(register: number): bigint {
    if (!this.#has(COMPONENT.opmask)) return 0n;
    return this.#area.readBigUInt64LE(componentOffset(COMPONENT.opmask) + register * 8);
  }
  setOpmask(register: number, value: bigint): void {
    this.#area.writeBigUInt64LE(value, componentOffset(COMPONENT.opmask) + register * 8);
  }
  /** All that this processor has counts from now on. */
  keep(): void {
    let present = this.#present | ALL_VECTORS;
    for (const component of UPPER_VECTORS) {
      if (componentOffset(component) === 0) present &= ~(1 << component);
    }
    if (componentOffset(COMPONENT.opmask) === 0) present &= ~(1 << COMPONENT.opmask);
    this.#area.writeUInt32LE(present >>> 0, PRESENT);
  }
}

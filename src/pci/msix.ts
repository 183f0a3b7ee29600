/**
 * MSI-X table and pending bits of one function: what the hardware keeps in the BAR (vfio.md 2.11, 6.0; PCIe 7.7.2).
 *
 * A vector raised while it is masked, alone or by the function mask, becomes pending and is sent when unmasked.
 */
import { PCI_MSIX_ENTRY_SIZE } from '../uapi/pci-regs.ts';
import type { PciIdentity } from './identity.ts';
import type { MsiMessage } from './messages.ts';

const CTRL_MASK = 1;

/** The table and the pending bits; offsets and lengths in bytes from the start of the BAR. */
export class MsixTable {
  readonly bar: number;
  readonly vectors: number;
  readonly tableOffset: number;
  readonly tableLength: number;
  readonly pbaOffset: number;
  readonly pbaLength: number;
  readonly #table: DataView;
  readonly #pending: Uint8Array;
  readonly #send: (vector: number, message: MsiMessage) => void;
  /** From the capability: nothing is sent while off. */
  #enabled = false;
  #functionMask = false;

  constructor(
    at: NonNullable<PciIdentity['msix']>,
    send: (vector: number, message: MsiMessage) => void,
  ) {
    this.bar = at.bar;
    this.vectors = at.vectors;
    this.tableOffset = at.tableOffset;
    this.tableLength = at.vectors * PCI_MSIX_ENTRY_SIZE;
    this.pbaOffset = at.pbaOffset;
    this.pbaLength = Math.ceil(at.vectors / 64) * 8;
    this.#table = new DataView(new ArrayBuffer(this.tableLength));
    this.#pending = new Uint8Array(this.pbaLength);
    this.#send = send;
    this.reset();
  }
  reset(): void {
    for (let n = 0; n < this.tableLength; n++) this.#table.setUint8(n, 0);
    for (let n = 0; n < this.vectors; n++) this.#table.setUint32(n * 16 + 12, CTRL_MASK, true);
    this.#pending.fill(0);
    this.#enabled = this.#functionMask = false;
  }
  /** Returns true when a message went out. */
  raise(vector: number): boolean {
    if (vector >= this.vectors || !this.#enabled) return false;
    if (this.#functionMask || this.isMasked(vector)) {
      this.#pending[vector >> 3]! |= 1 << (vector & 7);
      return false;
    }
    this.#send(vector, this.message(vector));
    return true;
  }
  control(enabled: boolean, functionMask: boolean): void {
    this.#enabled = enabled;
    this.#functionMask = functionMask;
    this.#flush();
  }
  message(vector: number): MsiMessage {
    const at = vector * PCI_MSIX_ENTRY_SIZE;
    return {
      addressLo: this.#table.getUint32(at, true),
      addressHi: this.#table.getUint32(at + 4, true),
      data: this.#table.getUint32(at + 8, true),
    };
  }
  isPending(vector: number): boolean {
    return ((this.#pending[vector >> 3]! >> (vector & 7)) & 1) === 1;
  }
  /** Program one entry, as the host's interrupt code does. */
  program(vector: number, message: MsiMessage, masked: boolean): void {
    const at = vector * PCI_MSIX_ENTRY_SIZE;
    this.#table.setUint32(at, message.addressLo, true);
    this.#table.setUint32(at + 4, message.addressHi, true);
    this.#table.setUint32(at + 8, message.data, true);
    this.#table.setUint32(at + 12, masked ? CTRL_MASK : 0, true);
    this.#flush();
  }
  /** Is this offset of the BAR the table's or the pending bits'? */
  covers(bar: number, offset: number): boolean {
    return bar === this.bar && (this.inTable(offset) || this.#inPba(offset));
  }
  inTable(offset: number): boolean {
    return offset >= this.tableOffset && offset < this.tableOffset + this.tableLength;
  }
  /** Width 4 or 8, aligned; the specification leaves others open: bytes are handled one by one. */
  load(offset: number, width: number): bigint {
    let value = 0n;
    for (let n = width - 1; n >= 0; n--) value = (value << 8n) | BigInt(this.#byte(offset + n));
    return value;
  }
  store(offset: number, width: number, value: bigint): void {
    for (let n = 0; n < width; n++) {
      const at = offset + n - this.tableOffset;
      if (!this.inTable(offset + n)) continue; //          the pending bits are read-only
      this.#table.setUint8(at, Number((value >> BigInt(8 * n)) & 0xffn));
    }
    this.#flush();
  }

  #inPba(offset: number): boolean {
    return offset >= this.pbaOffset && offset < this.pbaOffset + this.pbaLength;
  }
  #byte(offset: number): number {
    if (this.inTable(offset)) return this.#table.getUint8(offset - this.tableOffset);
    return this.#inPba(offset) ? this.#pending[offset - this.pbaOffset]! : 0;
  }
  isMasked(vector: number): boolean {
    return (this.#table.getUint32(vector * 16 + 12, true) & CTRL_MASK) !== 0;
  }
  #flush(): void {
    if (!this.#enabled || this.#functionMask) return;
    for (let n = 0; n < this.vectors; n++) {
      if (!this.isPending(n) || this.isMasked(n)) continue;
      this.#pending[n >> 3]! &= ~(1 << (n & 7));
      this.#send(n, this.message(n));
    }
  }
}

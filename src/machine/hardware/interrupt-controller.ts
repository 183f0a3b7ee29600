/**
 * The interrupt controller: where messages end that reach the doorbell, and where the lines of the pins end
 * (PCIe 6.1.2, 6.1.4).
 *
 * An interrupt is found by who sent the message and what it says, as an ITS finds it by device and event id; so two
 * functions may be given the same data. Every function has a line of its own.
 */
import type { PciDeviceFunction } from '../../pci/function.ts';

/** Below it are the lines of pins and what a platform has. */
const FIRST_NUMBER = 24;

/** One of a machine. */
export class InterruptController {
  readonly #messages = new Map<PciDeviceFunction, Map<number, () => void>>();
  readonly #lines = new Map<PciDeviceFunction, () => void>();
  readonly #numbers = new Set<number>();

  /** Take the lowest numbers that are free, as a kernel numbers its interrupts. */
  takeNumbers(count: number): number[] {
    const taken: number[] = [];
    for (let n = FIRST_NUMBER; taken.length < count; n++) {
      if (this.#numbers.has(n)) continue;
      this.#numbers.add(n);
      taken.push(n);
    }
    return taken;
  }
  giveNumbers(numbers: readonly number[]): void {
    for (const n of numbers) this.#numbers.delete(n);
  }

  /** From now on a message of `source` with this data runs the handler. */
  connect(source: PciDeviceFunction, data: number, handler: () => void): void {
    const handlers = this.#messages.get(source) ?? new Map<number, () => void>();
    this.#messages.set(source, handlers.set(data, handler));
  }
  /** Undefined: all messages of the source. */
  disconnect(source: PciDeviceFunction, data?: number): void {
    if (data === undefined) this.#messages.delete(source);
    else this.#messages.get(source)?.delete(data);
  }
  /** A message reached the doorbell; false when it is nobody's. */
  message(source: PciDeviceFunction, data: number): boolean {
    const handler = this.#messages.get(source)?.get(data);
    handler?.();
    return handler !== undefined;
  }

  connectLine(source: PciDeviceFunction, handler: () => void): void {
    this.#lines.set(source, handler);
  }
  disconnectLine(source: PciDeviceFunction): void {
    this.#lines.delete(source);
  }
  /** The line went up, or was unmasked while up; false when nobody listens. */
  line(source: PciDeviceFunction): boolean {
    const handler = this.#lines.get(source);
    handler?.();
    return handler !== undefined;
  }
}

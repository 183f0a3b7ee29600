/** The configuration space of mtty: what it says, and the few bytes that can be written (vfio.md 6.4). */

/** One byte short of what PCI has, as in the sample. */
export const MTTY_CONFIG_SIZE = 255;
const BARS = [0x10, 0x14] as const;
const INTERRUPT_LINE = 0x3c;
const IO = 1;
/** Address bits of a BAR of 8 ports. */
const BAR_MASK = ~7;

export class MttyConfig {
  readonly #bytes = new Uint8Array(256);
  readonly #ports: number;

  constructor(ports: 1 | 2) {
    this.#ports = ports;
    const view = new DataView(this.#bytes.buffer);
    view.setUint32(0x00, 0x3253_4348, true); //  4348:3253
    view.setUint32(0x04, 0x0200_0001, true); //  ports answer; medium timing
    view.setUint32(0x08, 0x0700_0210, true); //  a 16550
    for (const at of BARS.slice(0, ports)) view.setUint32(at, IO, true);
    view.setUint32(0x2c, 0x3253_4348, true);
    view.setUint8(0x3d, 1); //                   INTA
    this.#bytes.set(new TextEncoder().encode('PCI Serial/UART'), 0x60);
  }
  /** Beyond the end are zeros. */
  read(at: number, into: Uint8Array): void {
    for (const n of into.keys()) into[n] = this.#bytes[at + n] ?? 0;
  }
  write(at: number, from: Uint8Array): void {
    if (at === INTERRUPT_LINE) this.#bytes[at] = from[0]!;
    const bar = BARS.slice(0, this.#ports).find((each) => each === at);
    if (bar === undefined || from.length !== 4) return;
    const given = new DataView(from.buffer, from.byteOffset, 4).getUint32(0, true);
    new DataView(this.#bytes.buffer).setUint32(bar, ((given & BAR_MASK) | IO) >>> 0, true);
  }
}

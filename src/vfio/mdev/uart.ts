/**
 * One port of mtty: the registers of a 16550 whose transmitter is wired to its receiver, with the habits of the sample
 * driver (devices.md 7). A FIFO of 16 bytes that is full looks empty to everything but its count.
 */

const DLAB = 0x80;
const IER = { RDI: 1, THRI: 2, RLSI: 4, MSI: 8 } as const;
const MCR = { DTR: 1, RTS: 2, OUT2: 8, AFE: 0x20 } as const;
const LSR = { DR: 1, OE: 2, THRE_TEMT: 0x60 } as const;
const IIR_FIFOS = 0xc0;
/** DSR, its change, DCD; and CTS with its change. */
const MSR_ALWAYS = 0xa2;
const MSR_CTS = 0x11;
const FIFO_SIZE = 16;
/** Received bytes that are worth an interrupt: always one, whatever FCR says. */
const TRIGGER = 1;

/** Bytes of state(). */
export const UART_STATE_SIZE = 36;

export class UartPort {
  readonly #interrupt: () => void;
  #ier = 0;
  #lcr = 0;
  #mcr = 0;
  #scratch = 0;
  #divisor = 0;
  #depth = 1;
  #overrun = false;
  readonly #fifo = new Uint8Array(FIFO_SIZE);
  #head = 0;
  #tail = 0;
  #count = 0;

  /** `interrupt`: something happened that the driver wants to hear of. */
  constructor(interrupt: () => void) {
    this.#interrupt = interrupt;
  }

  read(register: number): number {
    switch (register) {
      case 0:
        return this.#lcr & DLAB ? this.#divisor & 0xff : this.#receive();
      case 1:
        return this.#lcr & DLAB ? this.#divisor >> 8 : this.#ier & 0x0f;
      case 2:
        return this.#identification;
      case 3:
        return this.#lcr;
      case 4:
        return this.#mcr;
      case 5:
        return this.#lineStatus;
      case 6:
        return this.#modemStatus;
      default:
        return this.#scratch;
    }
  }
  write(register: number, value: number): void {
    const writes = [
      () => (this.#lcr & DLAB ? this.#divide(value) : this.#send(value)),
      () => (this.#lcr & DLAB ? this.#divide(value << 8) : this.#enable(value)),
      () => this.#control(value),
      () => this.#setLine(value),
      () => this.#setModem(value),
      () => undefined,
      () => undefined,
      () => (this.#scratch = value),
    ];
    writes[register]?.();
  }
  /** A copy, of UART_STATE_SIZE bytes. */
  state(): Uint8Array {
    const out = new Uint8Array(UART_STATE_SIZE);
    const view = new DataView(out.buffer);
    out.set([this.#ier, this.#lcr, this.#mcr, this.#scratch]);
    view.setUint16(4, this.#divisor, true);
    out.set([this.#depth, Number(this.#overrun), this.#head, this.#tail, this.#count], 6);
    out.set(this.#fifo, UART_STATE_SIZE - FIFO_SIZE);
    return out;
  }
  /** Any bytes are some state: what cannot be is cut to what can. */
  restore(state: Uint8Array): void {
    const view = new DataView(state.buffer, state.byteOffset, UART_STATE_SIZE);
    this.#ier = state[0]!;
    this.#lcr = state[1]!;
    this.#mcr = state[2]!;
    this.#scratch = state[3]!;
    this.#divisor = view.getUint16(4, true);
    this.#depth = state[6] === FIFO_SIZE ? FIFO_SIZE : 1;
    this.#overrun = state[7] !== 0;
    this.#head = state[8]! % FIFO_SIZE;
    this.#tail = state[9]! % FIFO_SIZE;
    this.#count = Math.min(state[10]!, FIFO_SIZE);
    this.#fifo.set(state.subarray(UART_STATE_SIZE - FIFO_SIZE, UART_STATE_SIZE));
  }

  get #isEmpty(): boolean {
    return this.#head === this.#tail;
  }
  get #identification(): number {
    const wants = (bit: number): boolean => (this.#ier & bit) !== 0;
    const causes =
      (wants(IER.RLSI) && this.#overrun ? 6 : 0) |
      (wants(IER.RDI) && this.#count >= TRIGGER ? 4 : 0) |
      (wants(IER.THRI) && this.#isEmpty ? 2 : 0);
    return (causes || 1) | IIR_FIFOS;
  }
  get #lineStatus(): number {
    return (this.#isEmpty ? LSR.THRE_TEMT : LSR.DR) | (this.#overrun ? LSR.OE : 0);
  }
  get #modemStatus(): number {
    const isHeld = (this.#mcr & MCR.AFE) !== 0 && this.#count >= this.#depth;
    return MSR_ALWAYS | (isHeld ? 0 : MSR_CTS);
  }
  #tell(bit: number): void {
    if (this.#ier & bit) this.#interrupt();
  }

  #receive(): number {
    let byte = 0;
    if (!this.#isEmpty) {
      byte = this.#fifo[this.#tail]!;
      this.#tail = (this.#tail + 1) % FIFO_SIZE;
      this.#count--;
    }
    if (this.#isEmpty) this.#tell(IER.THRI);
    return byte;
  }
  #send(byte: number): void {
    if (this.#count >= this.#depth) {
      this.#overrun = true;
      this.#tell(IER.RLSI);
      return;
    }
    this.#fifo[this.#head] = byte;
    this.#head = (this.#head + 1) % FIFO_SIZE;
    this.#count++;
    this.#overrun = false;
    if (this.#count === TRIGGER) this.#tell(IER.RDI);
  }
  #divide(bits: number): void {
    this.#divisor |= bits;
  }
  #enable(value: number): void {
    this.#ier = value;
    if (this.#isEmpty) this.#tell(IER.THRI);
  }
  #control(value: number): void {
    if (value & 6) this.#head = this.#tail = this.#count = 0;
    this.#depth = value & 1 ? FIFO_SIZE : 1;
  }
  #setLine(value: number): void {
    this.#lcr = value;
    if (value & DLAB) this.#divisor = 0;
  }
  #setModem(value: number): void {
    this.#mcr = value;
    if (value & (MCR.OUT2 | MCR.RTS | MCR.DTR)) this.#tell(IER.MSI);
  }
}

/**
 * Interrupt messages: writes that end in one MiB of the physical address space and are interrupts there, not data
 * (PCIe 6.1.4.4; VT-d 3.15).
 *
 * The window is where this platform (an x86 computer) has it; it is written down here and nowhere else.
 */

/** First byte of the window, and the address a kernel gives to a device that is to interrupt (its doorbell). */
export const MESSAGE_WINDOW = 0xfee0_0000n;
/** Bytes of the window. */
export const MESSAGE_WINDOW_SIZE = 0x10_0000n;
/** Its first and last page. */
export const FIRST_MESSAGE_PFN = 0xfee00;
/** Last page frame of the window, inclusive. */
export const LAST_MESSAGE_PFN = 0xfeeff;

/** A message as it travels: where it is written and what. */
export interface MsiMessage {
  readonly addressLo: number;
  readonly addressHi: number;
  readonly data: number;
}

/** Where the interrupts of one function go: the bus between it and the interrupt controller. */
export interface MessageSink {
  /** The function writes a message. False: it is nobody's, or it was stopped on the way. */
  message(message: MsiMessage): boolean;
  /** The pin went up, or was unmasked while up. False: nobody listens to the line. */
  line(): boolean;
}

/** Is a write to this address an interrupt? */
export function isMessageAddress(address: bigint): boolean {
  return address >= MESSAGE_WINDOW && address < MESSAGE_WINDOW + MESSAGE_WINDOW_SIZE;
}

/** Does a message end at the interrupt controller? */
export function isInterrupt({ addressHi, addressLo }: MsiMessage): boolean {
  const pfn = Math.floor(addressLo / 4096);
  return addressHi === 0 && pfn >= FIRST_MESSAGE_PFN && pfn <= LAST_MESSAGE_PFN;
}

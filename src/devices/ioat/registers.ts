/** Registers of an I/OAT engine with one channel (devices.md 2.1, vfio.md 5.3). */
import type { RegisterTable } from '../unit/registers.ts';

/** Registers of BAR 0; those of channel 0 begin at 0x80. Any access is taken byte for byte. */
export const IOAT_REGISTERS = {
  chancnt: { offset: 0x00, width: 1, access: 'ro', reset: 1, help: 'channels' },
  xfercap: { offset: 0x01, width: 1, access: 'ro', help: 'log2 of the most bytes of a descriptor' },
  genctrl: { offset: 0x02, width: 1, access: 'rw', help: 'general control' },
  intrctrl: { offset: 0x03, width: 1, access: 'rw', help: '0x1 interrupts on, 0x8 by vector' },
  attnstatus: { offset: 0x04, width: 4, access: 'rc', help: 'channels that have interrupted' },
  cbver: { offset: 0x08, width: 1, access: 'ro', help: 'version, major and minor' },
  perportoffset: { offset: 0x0a, width: 2, access: 'ro', help: 'per-port registers' },
  intrdelay: { offset: 0x0c, width: 2, access: 'rw', reset: 0x8000, help: 'coalescing' },
  csStatus: { offset: 0x0e, width: 2, access: 'ro', help: 'chipset status' },
  dmacapability: { offset: 0x10, width: 4, access: 'ro', reset: 0x41, help: '0x40 block fill' },
  chanctrl: {
    offset: 0x80,
    width: 2,
    access: 'rw',
    writable: 0xfeff,
    help: '0x4 completion of errors, 0x10 interrupt of errors',
  },
  dmaComp: { offset: 0x82, width: 2, access: 'ro', reset: 2, help: 'compatibility' },
  chancmd: {
    offset: 0x84,
    width: 1,
    access: 'wo',
    help: '0x02 append, 0x04 suspend, 0x08 abort, 0x10 resume, 0x20 reset',
  },
  dmacount: {
    offset: 0x86,
    width: 2,
    access: 'rw',
    help: 'descriptors to work off since the chain began, modulo 65536; starts the channel',
  },
  chansts: {
    offset: 0x88,
    width: 8,
    access: 'ro',
    reset: 3,
    help: 'address of the latest descriptor that ended, and the state',
  },
  chainaddr: {
    offset: 0x90,
    width: 8,
    access: 'rw',
    acts: 'any',
    help: 'first descriptor; arms the channel',
  },
  chancmp: { offset: 0x98, width: 8, access: 'rw', help: 'where completions are written' },
  cdar: { offset: 0xa0, width: 8, access: 'ro', help: 'the descriptor that is next' },
  chanerr: { offset: 0xa8, width: 4, access: 'w1c', help: 'errors' },
  chanerrmask: { offset: 0xac, width: 4, access: 'rw', help: 'masks nothing' },
} as const satisfies RegisterTable;

/** States, in bits 2:0 of CHANSTS. */
export const CHANSTS = { active: 0, idle: 1, suspended: 2, halted: 3, armed: 4 } as const;
export const CHANCMD = {
  append: 0x02,
  suspend: 0x04,
  abort: 0x08,
  resume: 0x10,
  reset: 0x20,
} as const;
export const CHANCTRL = { errorCompletion: 0x4, errorInterrupt: 0x10 } as const;
/** Bits of CHANERR. */
export const CHANERR = {
  sourceAddress: 0x1,
  destinationAddress: 0x2,
  nextAddress: 0x4,
  chainAddress: 0x10,
  readData: 0x100,
  control: 0x400,
  length: 0x800,
  completionAddress: 0x1000,
} as const;

/** Registers of the device in configuration space: a copy of CHANERR, and its mask, both cleared by ones. */
export const CONFIG_CHANERR = 0x180;
export const CONFIG_CHANERR_MASK = 0x148;

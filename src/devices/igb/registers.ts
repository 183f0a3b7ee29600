/**
 * Registers of the 82576 (devices.md 1.2): where they are, their value at power-on, and the bits that matter.
 *
 * All are of 32 bits. A queue's block is at 0xc000 (receive) or 0xe000 (transmit); of the first four it is at its old
 * place too.
 */
import type { RegisterSpec, RegisterTable } from '../unit/registers.ts';
import { STATISTICS_REGISTERS } from './statistics-registers.ts';

/** Of one virtual function. */
export const MAILBOX_WORDS = 16;
/** Queues of each direction. */
export const QUEUES = 16;
/** Bits of EICR and its companions: one for each vector. */
export const VECTOR_BITS = 0x01ff_ffff;

type More = Partial<Omit<RegisterSpec, 'offset' | 'width' | 'help'>>;
function reg(offset: number, help: string, more: More = {}): RegisterSpec {
  return { offset, width: 4, access: 'rw', help, ...more };
}
const rw = (offset: number, help: string, reset = 0): RegisterSpec => reg(offset, help, { reset });
const many = (offset: number, count: number, help: string, more: More = {}): RegisterSpec =>
  reg(offset, help, { count, ...more });

function rx(offset: number, help: string, more: More = {}): RegisterSpec {
  const also = [{ offset: 0x2800 + offset, count: 4, stride: 0x100 }];
  return many(0xc000 + offset, QUEUES, help, { stride: 0x40, also, ...more });
}
function tx(offset: number, help: string, more: More = {}): RegisterSpec {
  const also = [{ offset: 0x3800 + offset, count: 4, stride: 0x100 }];
  return many(0xe000 + offset, QUEUES, help, { stride: 0x40, also, ...more });
}
/** Up to 1 MiB, a multiple of 128; bits 6:4 hold what is written all the same, and such a queue is idle. */
const LENGTH = { writable: 0xf_fff0 };
const INDEX = { writable: 0xffff };

const QUEUE_REGISTERS = {
  rdbal: rx(0x00, 'receive ring, low half of its address', { writable: 0xffff_ff80 }),
  rdbah: rx(0x04, 'receive ring, high half'),
  rdlen: rx(0x08, 'receive ring, bytes', LENGTH),
  srrctl: rx(0x0c, 'kind of descriptor, size of buffers'),
  rdh: rx(0x10, 'descriptor that is filled next', INDEX),
  rxdca: rx(0x14, 'direct cache access, no effect'),
  rdt: rx(0x18, 'end of the descriptors that may be filled', INDEX),
  rxdctl: rx(0x28, 'bit 25: the queue is on', {
    reset: [0x0201_0000, 0x0001_0000],
    writable: 0x021f_1f1f,
  }),
  rqdpc: rx(0x30, 'frames that found no descriptor', { access: 'rc' }),
  tdbal: tx(0x00, 'transmit ring, low half of its address', { writable: 0xffff_ff80 }),
  tdbah: tx(0x04, 'transmit ring, high half'),
  tdlen: tx(0x08, 'transmit ring, bytes', LENGTH),
  tdh: tx(0x10, 'descriptor that is sent next', INDEX),
  txdca: tx(0x14, 'direct cache access, no effect'),
  tdt: tx(0x18, 'end of the descriptors to send', INDEX),
  txdctl: tx(0x28, 'bit 25: the queue is on', {
    reset: [0x0200_0000, 0],
    writable: 0x021f_1f1f,
  }),
  tdwbal: tx(0x38, 'head write-back, no effect'),
  tdwbah: tx(0x3c, 'head write-back, no effect'),
} as const satisfies RegisterTable;

const INTERRUPT_REGISTERS = {
  icr: reg(0x00c0, 'causes; a load clears', { access: 'w1c', also: [{ offset: 0x1500 }] }),
  itr: rw(0x00c4, 'throttling, no effect'),
  ics: reg(0x00c8, 'sets causes', { access: 'wo', also: [{ offset: 0x1504 }] }),
  ims: reg(0x00d0, 'causes that interrupt', { access: 'w1s', also: [{ offset: 0x1508 }] }),
  imc: reg(0x00d8, 'takes causes out of IMS', { access: 'wo', also: [{ offset: 0x150c }] }),
  iam: reg(0x00e0, 'masked when ICR is read', { also: [{ offset: 0x1510 }] }),
  gpie: rw(0x1514, '4: MSI-X; 30: EIAM in effect; 0: ICR always cleared by a load'),
  eics: reg(0x1520, 'sets vectors', { access: 'wo' }),
  eims: reg(0x1524, 'vectors that are sent', { access: 'w1s', writable: VECTOR_BITS }),
  eimc: reg(0x1528, 'takes vectors out of EIMS', { access: 'wo' }),
  eiac: reg(0x152c, 'cleared when sent', { writable: VECTOR_BITS }),
  eiam: reg(0x1530, 'masked when sent', { writable: VECTOR_BITS }),
  eicr: reg(0x1580, 'vectors that wait', { access: 'w1c' }),
  eitr: many(0x1680, 25, 'throttling of a vector, no effect', { writable: 0x8000_7ffc }),
  ivar: many(0x1700, 8, 'vectors of receive and transmit queues n and n+8'),
  ivarMisc: rw(0x1740, 'byte 1: vector of other causes'),
} as const satisfies RegisterTable;

const ADDRESS_HIGH = { stride: 8, writable: 0x83ff_ffff };

const RECEIVE_REGISTERS = {
  rctl: rw(0x0100, 'receive control'),
  psrtype: many(0x5480, 8, 'header split, no effect'),
  rxcsum: rw(0x5000, 'checksums of received frames', 0x300),
  rlpml: rw(0x5004, 'longest frame with LPE, bytes with checksum', 0x2600),
  rfctl: rw(0x5008, 'receive filter control, no effect'),
  mta: many(0x5200, 128, 'multicast hash table'),
  ral: many(0x5400, 16, 'station address, low half', { stride: 8 }),
  rah: many(0x5404, 16, 'high half; 25:18 pools, 31 valid', ADDRESS_HIGH),
  ralMore: many(0x54e0, 8, 'station addresses 16 to 23, low half', { stride: 8 }),
  rahMore: many(0x54e4, 8, 'high half', ADDRESS_HIGH),
  vfta: many(0x5600, 128, 'VLANs that are received'),
  mrqc: rw(0x5818, 'several receive queues: how'),
  vtCtl: rw(0x581c, 'default pool'),
  reta: many(0x5c00, 32, 'queues by hash'),
  rssrk: many(0x5c80, 10, 'key of the hash'),
  vmolr: many(0x5ad0, 8, 'what a pool receives', { reset: 0x8000_2600 }),
  rplolr: rw(0x5af0, 'replicated frames, no effect', 0x8000_2600),
  vlvf: many(0x5d00, 32, 'VLANs of pools'),
  etqf: many(0x5cb0, 8, 'EtherType filters, no effect'),
  uta: many(0xa000, 128, 'unicast hash table'),
} as const satisfies RegisterTable;

const CONTROL_REGISTERS = {
  ctrl: reg(0x0000, 'device control', { reset: 0x0010_0209, also: [{ offset: 0x0004 }] }),
  status: reg(0x0008, 'device status; 1: the link is up', { reset: 0x0008_0681, writable: 0x400 }),
  eecd: reg(0x0010, 'NVM control', { reset: 0x1310, writable: 0x77 }),
  eerd: rw(0x0014, 'NVM read: 0 start, 1 done, 15:2 word, 31:16 data'),
  ctrlExt: rw(0x0018, 'extended control'),
  mdic: rw(0x0020, 'PHY access', 0x1000_0000),
  sctl: rw(0x0024, 'SerDes, no effect'),
  fcal: rw(0x0028, 'flow control, no effect'),
  fcah: reg(0x002c, 'flow control, no effect', { writable: 0xffff }),
  fct: reg(0x0030, 'flow control, no effect', { writable: 0xffff }),
  connsw: rw(0x0034, 'media switch, no effect'),
  vet: rw(0x0038, '15:0: EtherType of VLAN tags', 0x8100_8100),
  fcttv: reg(0x0170, 'flow control, no effect', { writable: 0xffff }),
  tctl: rw(0x0400, 'transmit control', 0xa404_00f8),
  tctlExt: rw(0x0404, 'no effect', 0x0001_0840),
  tipg: reg(0x0410, 'no effect', { reset: 0x0060_1008, writable: 0x3fff_ffff }),
  ledctl: rw(0x0e00, 'no effect', 0x0706_8302),
  pba: rw(0x1000, 'no effect'),
  pbs: rw(0x1008, 'no effect'),
  eemngctl: reg(0x1010, '18, 19: configuration done', { access: 'ro', reset: 0x800c_0000 }),
  frtimer: reg(0x1048, 'microseconds', { access: 'ro' }),
  fcrtl: rw(0x2160, 'flow control, no effect'),
  fcrth: reg(0x2168, 'flow control, no effect', { writable: 0xfff0 }),
  rxpbs: rw(0x2404, 'KiB of receive buffer', 0x40),
  fcrtv: rw(0x2460, 'flow control, no effect'),
  txpbs: rw(0x3404, 'KiB of transmit buffer', 0x28),
  dtxswc: rw(0x3500, '31: frames go from one pool to another'),
  wvbr: reg(0x3554, 'wrong behaviour of functions: none is found', { access: 'rc' }),
  dtxctl: rw(0x3590, 'no effect'),
  wuc: rw(0x5800, 'wake-up, no effect'),
  wufc: rw(0x5808, 'wake-up, no effect'),
  wus: rw(0x5810, 'wake-up, no effect'),
  manc: reg(0x5820, 'no manageability', { access: 'ro' }),
  manc2h: reg(0x5860, 'no manageability', { access: 'ro' }),
  gcr: reg(0x5b00, '16 resend, 15:12 time limit, 18 version', {
    reset: 0x0005_0000,
    writable: 0x0001_f000,
  }),
  factps: reg(0x5b30, 'no manageability', { access: 'ro' }),
  swsm: rw(0x5b50, '0: taken, set by a load; 1: taken by software'),
  fwsm: reg(0x5b54, 'no firmware', { access: 'ro' }),
  swFwSync: rw(0x5b5c, 'what software has taken'),
} as const satisfies RegisterTable;

/** One for each virtual function, or a bit for each. */
const VIRTUAL_REGISTERS = {
  vmbmem: many(0x0800, 8 * MAILBOX_WORDS, 'mailboxes of 16 words'),
  p2vMailbox: many(0x0c00, 8, '0 message, 1 taken, 3 ours, 4 take it from the other'),
  v2pMailbox: many(0x0c40, 8, 'as the virtual function sees it', { access: 'ro', reset: 0x40 }),
  mbvficr: reg(0x0c80, 'messages, and from 16 on what was taken', { access: 'w1c' }),
  mbvfimr: rw(0x0c84, 'virtual functions whose messages interrupt', 0xff),
  vflre: reg(0x0c88, 'virtual functions that were reset', { access: 'w1c' }),
  vfre: rw(0x0c8c, 'pools that receive', 0xff),
  vfte: rw(0x0c90, 'pools that send', 0xff),
} as const satisfies RegisterTable;

/** BAR 0. */
export const IGB_REGISTERS = {
  ...CONTROL_REGISTERS,
  ...INTERRUPT_REGISTERS,
  ...RECEIVE_REGISTERS,
  ...QUEUE_REGISTERS,
  ...VIRTUAL_REGISTERS,
  ...STATISTICS_REGISTERS,
} as const satisfies RegisterTable;
export type IgbRegister = keyof typeof IGB_REGISTERS;

/** What CTRL.RST leaves alone. */
export const KEPT_BY_RESET: ReadonlySet<IgbRegister> = new Set([
  'eitr',
  'pba',
  'pbs',
  'rxpbs',
  'txpbs',
]);

export const CTRL = {
  FD: 1 << 0,
  MASTER_DISABLE: 1 << 2,
  SLU: 1 << 6,
  SPEED: 3 << 8,
  FRCSPD: 1 << 11,
  FRCDPX: 1 << 12,
  RST: 1 << 26,
  VME: 1 << 30,
  PHY_RST: 1 << 31,
} as const;
export const RCTL = {
  EN: 1 << 1,
  UPE: 1 << 3,
  MPE: 1 << 4,
  LPE: 1 << 5,
  LOOPBACK: 3 << 6,
  LOOPBACK_MAC: 1 << 6,
  BAM: 1 << 15,
  VFE: 1 << 18,
  SECRC: 1 << 26,
} as const;
export const TCTL = { EN: 1 << 1, PSP: 1 << 3 } as const;
/** Of RXDCTL and TXDCTL. */
export const QUEUE_ON = 1 << 25;
/** Causes of ICR. */
export const CAUSE = {
  TXDW: 1 << 0,
  LSC: 1 << 2,
  RXO: 1 << 6,
  RXDW: 1 << 7,
  VMMB: 1 << 8,
  MDAC: 1 << 9,
} as const;

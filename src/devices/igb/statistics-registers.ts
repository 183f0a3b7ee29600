/** Counters of the 82576 (devices.md 1.10): 32 bits, cleared by a load, low and high halves by one of the high half. */
import type { RegisterSpec, RegisterTable } from '../unit/registers.ts';

const rc = (offset: number, help: string): RegisterSpec => ({
  offset,
  width: 4,
  access: 'rc',
  help,
});
const ro = (offset: number, help: string): RegisterSpec => ({ ...rc(offset, help), access: 'ro' });

/** What is counted; octets and sizes include the checksum of the frame. */
export const STATISTICS_REGISTERS = {
  mpc: rc(0x4010, 'frames missed: no descriptor'),
  prc64: rc(0x405c, 'received, 64 bytes'),
  prc127: rc(0x4060, 'received, 65 to 127 bytes'),
  prc255: rc(0x4064, 'received, 128 to 255 bytes'),
  prc511: rc(0x4068, 'received, 256 to 511 bytes'),
  prc1023: rc(0x406c, 'received, 512 to 1023 bytes'),
  prc1522: rc(0x4070, 'received, 1024 bytes and more'),
  gprc: rc(0x4074, 'good frames received'),
  bprc: rc(0x4078, 'broadcast frames received'),
  mprc: rc(0x407c, 'multicast frames received'),
  gptc: rc(0x4080, 'good frames sent'),
  gorcl: ro(0x4088, 'good octets received, low half'),
  gorch: rc(0x408c, 'good octets received, high half'),
  gotcl: ro(0x4090, 'good octets sent, low half'),
  gotch: rc(0x4094, 'good octets sent, high half'),
  rnbc: rc(0x40a0, 'received without a descriptor'),
  ruc: rc(0x40a4, 'received, too short'),
  roc: rc(0x40ac, 'received, too long'),
  torl: ro(0x40c0, 'octets received, low half'),
  torh: rc(0x40c4, 'octets received, high half'),
  totl: ro(0x40c8, 'octets sent, low half'),
  toth: rc(0x40cc, 'octets sent, high half'),
  tpr: rc(0x40d0, 'frames received'),
  tpt: rc(0x40d4, 'frames sent'),
  ptc64: rc(0x40d8, 'sent, 64 bytes'),
  ptc127: rc(0x40dc, 'sent, 65 to 127 bytes'),
  ptc255: rc(0x40e0, 'sent, 128 to 255 bytes'),
  ptc511: rc(0x40e4, 'sent, 256 to 511 bytes'),
  ptc1023: rc(0x40e8, 'sent, 512 to 1023 bytes'),
  ptc1522: rc(0x40ec, 'sent, 1024 bytes and more'),
  mptc: rc(0x40f0, 'multicast frames sent'),
  bptc: rc(0x40f4, 'broadcast frames sent'),
  rpthc: rc(0x4104, 'frames received for the host'),
  hgptc: rc(0x4118, 'good frames sent by the host'),
  hgorcl: ro(0x4128, 'good octets received for the host, low half'),
  hgorch: rc(0x412c, 'good octets received for the host, high half'),
  hgotcl: ro(0x4130, 'good octets sent by the host, low half'),
  hgotch: rc(0x4134, 'good octets sent by the host, high half'),
} as const satisfies RegisterTable;

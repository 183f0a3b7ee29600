/** Identify: what the controller and its namespaces are (vfio.md 6.2, devices.md 4.1). */
import { bytes, struct, u16, u32, u64, u8 } from '../../base/struct.ts';
import type { Command } from './command.ts';
import { namespaceOf, type Context } from './context.ts';
import { sendPage } from './data.ts';
import { HELD_EVENTS } from './events.ts';
import { CRITICAL_TEMPERATURE, WARNING_TEMPERATURE } from './feature-values.ts';
import { ERROR_ENTRIES } from './health.ts';
import { NVME_IDS } from './ids.ts';
import { LBA_FORMATS, type Namespace } from './namespace.ts';
import { VERSION } from './registers.ts';
import { STATUS } from './status.ts';

const ID_CTRL = struct('nvme_id_ctrl', 4096, {
  vid: u16,
  ssvid: u16,
  sn: bytes(20),
  mn: bytes(40),
  fr: bytes(8),
  rab: u8,
  ieee: bytes(3),
  cmic: u8,
  mdts: u8,
  cntlid: u16,
  ver: u32,
  rtd3r: u32,
  rtd3e: u32,
  oaes: u32,
  ctratt: u32,
  reserved100: bytes(11),
  cntrltype: u8,
  reserved112: bytes(144),
  oacs: u16,
  acl: u8,
  aerl: u8,
  frmw: u8,
  lpa: u8,
  elpe: u8,
  npss: u8,
  avscc: u8,
  apsta: u8,
  wctemp: u16,
  cctemp: u16,
  reserved270: bytes(242),
  sqes: u8,
  cqes: u8,
  maxcmd: u16,
  nn: u32,
  oncs: u16,
  fuses: u16,
  fna: u8,
  vwc: u8,
  awun: u16,
  awupf: u16,
  reserved530: bytes(6),
  sgls: u32,
  mnan: u32,
  reserved544: bytes(224),
  subnqn: bytes(256),
  reserved1024: bytes(3072),
});

const ID_NS = struct('nvme_id_ns', 4096, {
  nsze: u64,
  ncap: u64,
  nuse: u64,
  nsfeat: u8,
  nlbaf: u8,
  flbas: u8,
  mc: u8,
  dpc: u8,
  dps: u8,
  nmic: u8,
  rescap: u8,
  fpi: u8,
  dlfeat: u8,
  reserved34: bytes(65),
  nsattr: u8,
  reserved100: bytes(4),
  nguid: bytes(16),
  eui64: bytes(8),
  lbaf: bytes(64),
  reserved192: bytes(3904),
});

/** Compare, write uncorrectable, dataset management, write zeroes, save and select, timestamp, verify. */
const ONCS = 0xdf;
const OACS_FORMAT = 0x02;
const OACS_DOORBELL_BUFFER = 0x100;
/** Namespaces that have changed. */
const OAES = 0x100;
/** Reads as zeros after deallocation, and Write Zeroes may deallocate. */
const DLFEAT = 0x09;
/** A page of 1024 namespace ids. */
const LIST_ENTRIES = 1024;

/** Identify: by the CNS of the command. */
export function identify(context: Context, command: Command): number {
  const page = PAGES.get(command.dword(10) & 0xff)?.(context, command) ?? STATUS.INVALID_FIELD;
  return typeof page === 'number' ? page : sendPage(context, command, page);
}

type Page = (context: Context, command: Command) => Uint8Array | number;
const PAGES: ReadonlyMap<number, Page> = new Map<number, Page>([
  [0x00, namespacePage],
  [0x01, controllerPage],
  [0x02, activeNamespaces],
  [0x03, namespaceIds],
]);

function controllerPage({ config, namespaces, port }: Context): Uint8Array {
  const { name } = port.config;
  const serial = config.serial === '' ? `SIM${name.replace(/[:.]/g, '')}` : config.serial;
  return ID_CTRL.make({
    vid: NVME_IDS.vendor,
    ssvid: NVME_IDS.subsystemVendor,
    sn: text(serial, 20, ' '),
    mn: text('softiommu NVMe', 40, ' '),
    fr: text('1.0', 8, ' '),
    mdts: config.mdts,
    cntlid: 1,
    ver: VERSION,
    oaes: OAES,
    cntrltype: 1,
    oacs: OACS_FORMAT | (config.doorbellBuffer ? OACS_DOORBELL_BUFFER : 0),
    acl: 3,
    aerl: HELD_EVENTS - 1,
    frmw: 0x03,
    lpa: 0x02,
    elpe: ERROR_ENTRIES - 1,
    wctemp: WARNING_TEMPERATURE,
    cctemp: CRITICAL_TEMPERATURE,
    sqes: 0x66,
    cqes: 0x44,
    nn: namespaces.length,
    oncs: ONCS,
    vwc: 1,
    sgls: config.sgl ? 0x1_0001 : 0,
    subnqn: text(`nqn.2026-01.org.softiommu:nvme:${name}:${serial.trim()}`, 256, '\0'),
  }).bytes;
}

function namespacePage(context: Context, command: Command): Uint8Array | number {
  const namespace = namespaceOf(context, command);
  if (!namespace) return STATUS.INVALID_NAMESPACE;
  const blocks = BigInt(namespace.blocks);
  const formats = new Uint8Array(64);
  for (const [n, lg2] of LBA_FORMATS.entries()) formats[4 * n + 2] = lg2;
  return ID_NS.make({
    nsze: blocks,
    ncap: blocks,
    nuse: blocks,
    nlbaf: LBA_FORMATS.length - 1,
    flbas: namespace.format,
    dlfeat: DLFEAT,
    nsattr: namespace.isReadOnly ? 1 : 0,
    nguid: nguid(context, namespace),
    eui64: eui64(context, namespace),
    lbaf: formats,
  }).bytes;
}

/** Those with a higher id than the command's. */
function activeNamespaces({ namespaces }: Context, { nsid }: Command): Uint8Array | number {
  if (nsid >= 0xffff_fffe) return STATUS.INVALID_NAMESPACE;
  const page = new DataView(new ArrayBuffer(4 * LIST_ENTRIES));
  const ids = namespaces.map(({ id }) => id).filter((id) => id > nsid);
  for (const [n, id] of ids.slice(0, LIST_ENTRIES).entries()) page.setUint32(4 * n, id, true);
  return new Uint8Array(page.buffer);
}

/** Descriptors: type, length, two bytes of nothing, the id; zeros end the list. */
function namespaceIds(context: Context, command: Command): Uint8Array | number {
  const namespace = namespaceOf(context, command);
  if (!namespace) return STATUS.INVALID_NAMESPACE;
  const page = new Uint8Array(4096);
  page.set([1, 8, 0, 0, ...eui64(context, namespace), 2, 16, 0, 0, ...nguid(context, namespace)]);
  return page;
}

/** Of the place of the function and the number of the namespace: unique in a machine, and the same in each run. */
function eui64({ port }: Context, { id }: Namespace): Uint8Array {
  const [segment = 0, bus = 0, slot = 0, fn = 0] = port.config.name
    .split(/[:.]/)
    .map((part) => parseInt(part, 16));
  return Uint8Array.of(0x52, 0x54, segment >> 8, segment, bus, (slot << 3) | fn, id >> 8, id);
}
function nguid(context: Context, namespace: Namespace): Uint8Array {
  return Uint8Array.of(...text('softiomm', 8, ' '), ...eui64(context, namespace));
}

/** ASCII, cut or filled to a length. */
function text(value: string, length: number, fill: string): Uint8Array {
  const out = new Uint8Array(length).fill(fill.charCodeAt(0));
  for (let n = 0; n < Math.min(value.length, length); n++) out[n] = value.charCodeAt(n) & 0x7f;
  return out;
}

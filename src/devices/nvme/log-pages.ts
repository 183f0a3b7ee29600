/** Log pages (devices.md 4.4): errors, health, firmware, changed namespaces, what each command does. */
import { bytes, struct, u16, u32, u8 } from '../../base/struct.ts';
import type { Command } from './command.ts';
import { EVERY_NAMESPACE, type Context } from './context.ts';
import { dataPlace, sendTo } from './data.ts';
import { TEMPERATURE } from './feature-values.ts';
import { ERROR_ENTRIES } from './health.ts';
import { STATUS } from './status.ts';

const ERROR_ENTRY = 64;
const COUNTER = 16;
/** CDW10: events of this page stay masked. */
const RETAIN_EVENT = 1 << 15;
/** A list that says: more than can be listed, or all. */
const CHANGED_ENTRIES = 1024;
/** Of a command in the effects log: there is such a command; it changes what is stored. */
const SUPPORTED = 1;
const CHANGES_CONTENT = 2;

const SMART_LOG = struct('nvme_smart_log', 512, {
  criticalWarning: u8,
  temperature: bytes(2),
  spare: u8,
  spareThreshold: u8,
  used: u8,
  reserved6: bytes(26),
  dataUnitsRead: bytes(COUNTER),
  dataUnitsWritten: bytes(COUNTER),
  reads: bytes(COUNTER),
  writes: bytes(COUNTER),
  busyMinutes: bytes(COUNTER),
  powerCycles: bytes(COUNTER),
  powerOnHours: bytes(COUNTER),
  unsafeShutdowns: bytes(COUNTER),
  mediaErrors: bytes(COUNTER),
  errorEntries: bytes(COUNTER),
  warningMinutes: u32,
  criticalMinutes: u32,
  sensors: bytes(16),
  reserved216: bytes(296),
});
const FIRMWARE_LOG = struct('nvme_firmware_slot_log', 512, {
  activeSlot: u8,
  reserved1: bytes(7),
  revision1: bytes(8),
  reserved16: bytes(496),
});
const ERROR_LOG_ENTRY = struct('nvme_error_log_page', ERROR_ENTRY, {
  count: bytes(8),
  sqId: u16,
  commandId: u16,
  status: u16,
  parameter: u16,
  lba: bytes(8),
  nsid: u32,
  reserved28: bytes(36),
});

type Page = (context: Context, command: Command) => Uint8Array | number;

/** Effects of commands by opcode, as log 05 tells them: of the admin queue, and of the others. */
export interface Effects {
  readonly admin: readonly number[];
  readonly io: readonly number[];
}
const CHANGING: ReadonlySet<number> = new Set([0x01, 0x04, 0x08, 0x09]);
const FORMAT = 0x80;
/** There is one where an option says so. */
const DOORBELL_BUFFER = 0x7c;

/** Get Log Page, of a controller that has these commands. */
export function getLogPage(effects: Effects) {
  const pages = new Map<number, Page>([
    [0x01, errorLog],
    [0x02, smartLog],
    [0x03, firmwareLog],
    [0x04, changedNamespaces],
    [0x05, (context) => effectsLog(context, effects)],
  ]);
  return (context: Context, command: Command): number | undefined => {
    const id = command.dword(10) & 0xff;
    const page = pages.get(id)?.(context, command) ?? STATUS.LOG_PAGE;
    if (typeof page === 'number') return page;
    return sendPart(context, command, page, () => {
      if ((command.dword(10) & RETAIN_EVENT) !== 0) return;
      if (id === 0x04) context.health.changed.clear();
      context.events.logRead(id);
    });
  };
}

/** What the command asks for, in dwords; zeros beyond the end of the page. */
function sendPart(
  context: Context,
  command: Command,
  page: Uint8Array,
  done: () => void,
): number | undefined {
  const dwords = (command.dword(10) >>> 16) + (command.dword(11) & 0xffff) * 0x1_0000 + 1;
  const offset = command.dword(12) + command.dword(13) * 2 ** 32;
  if (offset % 4 !== 0 || offset > page.length) return STATUS.INVALID_FIELD;
  const place = dataPlace(context, command, 4 * dwords, true);
  if (typeof place === 'number') return place;
  const part = new Uint8Array(4 * dwords);
  part.set(page.subarray(offset, offset + part.length));
  sendTo(context, command, { place, bytes: part, done });
  return undefined;
}

function errorLog({ health }: Context): Uint8Array {
  const page = new Uint8Array(ERROR_ENTRIES * ERROR_ENTRY);
  for (const [n, error] of health.errors.entries()) {
    const { count, sqId, commandId, field, nsid, lba } = error;
    const entry = ERROR_LOG_ENTRY.make({
      count: number(count, 8),
      sqId,
      commandId,
      status: field << 1,
      lba: number(lba, 8),
      nsid,
    });
    page.set(entry.bytes, n * ERROR_ENTRY);
  }
  return page;
}

/** Of the controller: those of single namespaces are not kept. */
function smartLog({ health, port, features }: Context, { nsid }: Command): Uint8Array | number {
  if (nsid !== 0 && nsid !== EVERY_NAMESPACE) return STATUS.INVALID_NAMESPACE;
  const { counters } = health;
  const isWarm = TEMPERATURE >= features.over || TEMPERATURE <= features.under;
  return SMART_LOG.make({
    criticalWarning: isWarm ? 2 : 0,
    temperature: number(TEMPERATURE, 2),
    spare: 100,
    spareThreshold: 10,
    dataUnitsRead: number(Math.ceil(counters.blocksRead / 1000), COUNTER),
    dataUnitsWritten: number(Math.ceil(counters.blocksWritten / 1000), COUNTER),
    reads: number(counters.reads, COUNTER),
    writes: number(counters.writes, COUNTER),
    powerCycles: number(1, COUNTER),
    powerOnHours: number(Math.floor(port.clock.nowNs / 3.6e12), COUNTER),
    mediaErrors: number(counters.mediaErrors, COUNTER),
    errorEntries: number(counters.errors, COUNTER),
  }).bytes;
}

function firmwareLog(): Uint8Array {
  const revision = Uint8Array.from('1.0     ', (char) => char.charCodeAt(0));
  return FIRMWARE_LOG.make({ activeSlot: 1, revision1: revision }).bytes;
}

function changedNamespaces({ health }: Context): Uint8Array {
  const page = new DataView(new ArrayBuffer(4 * CHANGED_ENTRIES));
  const ids = [...health.changed].sort((a, b) => a - b);
  for (const [n, id] of ids.entries()) page.setUint32(4 * n, id, true);
  return new Uint8Array(page.buffer);
}

function effectsLog({ config }: Context, { admin, io }: Effects): Uint8Array {
  const page = new DataView(new ArrayBuffer(4096));
  for (const opcode of admin) {
    if (opcode === DOORBELL_BUFFER && !config.doorbellBuffer) continue;
    page.setUint32(4 * opcode, SUPPORTED | (opcode === FORMAT ? CHANGES_CONTENT : 0), true);
  }
  for (const opcode of io) {
    const effect = SUPPORTED | (CHANGING.has(opcode) ? CHANGES_CONTENT : 0);
    page.setUint32(1024 + 4 * opcode, effect, true);
  }
  return new Uint8Array(page.buffer);
}

/** Little-endian. */
function number(value: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let n = 0, rest = value; n < length && rest > 0; n++) {
    out[n] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return out;
}

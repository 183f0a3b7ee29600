/** Set Features and Get Features (devices.md 4.4). */
import type { Command } from './command.ts';
import type { Context } from './context.ts';
import { receiveBytes, sendPage } from './data.ts';
import { EVENT } from './events.ts';
import { FEATURE, PLAIN_FEATURES, TEMPERATURE, WARNING_TEMPERATURE } from './feature-values.ts';
import { STATUS } from './status.ts';

/** CDW10 of Set Features. */
const SAVE = 0x8000_0000;
/** CDW10 10:8 of Get Features. */
const SELECT = { CURRENT: 0, DEFAULT: 1, SAVED: 2, CAPABILITIES: 3 } as const;
/** The answer to CAPABILITIES. */
const CHANGEABLE = 4;
/** CDW11 of Interrupt Vector Configuration: not coalesced. */
const COALESCING_DISABLED = 0x1_0000;
/** How a timestamp came about: bits 3:1 of its byte 6. */
const SET_BY_HOST = 1 << 1;
const OVER = 0;
const UNDER = 1;

/** A feature that is more than a dword. */
interface Special {
  set(context: Context, command: Command): number;
  /** `isDefault`: as it is at power-on. */
  get(context: Context, command: Command, isDefault: boolean): number;
}

const SPECIAL: ReadonlyMap<number, Special> = new Map([
  [FEATURE.TEMPERATURE, { set: setThreshold, get: getThreshold }],
  [FEATURE.QUEUES, { set: setQueues, get: getQueues }],
  [FEATURE.VECTOR, { set: setVector, get: getVector }],
  [FEATURE.TIMESTAMP, { set: setTimestamp, get: getTimestamp }],
]);

/** Set Features. Nothing can be saved. */
export function setFeatures(context: Context, command: Command): number {
  const id = command.dword(10) & 0xff;
  const special = SPECIAL.get(id);
  if (!special && !PLAIN_FEATURES.has(id)) return STATUS.INVALID_FIELD;
  if ((command.dword(10) & SAVE) !== 0) return STATUS.NOT_SAVEABLE;
  if (special) return special.set(context, command);
  const value = command.dword(11);
  // There is one power state.
  if (id === FEATURE.POWER && (value & 0x1f) !== 0) return STATUS.INVALID_FIELD;
  context.features.set(id, value);
  return STATUS.SUCCESS;
}

/** Get Features: the value now, at power-on (which is what is saved, too), or what can be done with it. */
export function getFeatures(context: Context, command: Command): number {
  const id = command.dword(10) & 0xff;
  const select = (command.dword(10) >>> 8) & 7;
  const special = SPECIAL.get(id);
  const plain = PLAIN_FEATURES.get(id);
  if ((!special && !plain) || select > SELECT.CAPABILITIES) return STATUS.INVALID_FIELD;
  if (select === SELECT.CAPABILITIES) {
    command.result = CHANGEABLE;
    return STATUS.SUCCESS;
  }
  const isDefault = select !== SELECT.CURRENT;
  if (special) return special.get(context, command, isDefault);
  command.result = isDefault ? plain!.default : context.features.get(id);
  return STATUS.SUCCESS;
}

/** All queues there are, whatever is asked for. */
function setQueues(context: Context, command: Command): number {
  const asked = command.dword(11);
  if ((asked & 0xffff) === 0xffff || asked >>> 16 === 0xffff) return STATUS.INVALID_FIELD;
  return getQueues(context, command);
}
function getQueues({ config }: Context, command: Command): number {
  const most = config.queues - 1;
  command.result = ((most << 16) | most) >>> 0;
  return STATUS.SUCCESS;
}

function thresholdOf(command: Command): { readonly isSensor: boolean; readonly type: number } {
  const word = command.dword(11);
  // The composite temperature, or all sensors; there is no other.
  const sensor = (word >>> 16) & 15;
  return { isSensor: sensor === 0 || sensor === 15, type: (word >>> 20) & 3 };
}
function setThreshold({ features, events }: Context, command: Command): number {
  const { isSensor, type } = thresholdOf(command);
  if (!isSensor || type > UNDER) return STATUS.INVALID_FIELD;
  const kelvin = command.dword(11) & 0xffff;
  if (type === OVER) features.over = kelvin;
  else features.under = kelvin;
  if (TEMPERATURE >= features.over || TEMPERATURE <= features.under) {
    events.happen(EVENT.TEMPERATURE, features.get(FEATURE.EVENTS));
  }
  return STATUS.SUCCESS;
}
function getThreshold({ features }: Context, command: Command, isDefault: boolean): number {
  const { isSensor, type } = thresholdOf(command);
  if (!isSensor || type > UNDER) return STATUS.INVALID_FIELD;
  const [over, under] = isDefault ? [WARNING_TEMPERATURE, 0] : [features.over, features.under];
  command.result = type === OVER ? over : under;
  return STATUS.SUCCESS;
}

function setVector({ config, features }: Context, command: Command): number {
  const vector = command.dword(11) & 0xffff;
  if (vector > config.queues) return STATUS.INVALID_FIELD;
  if ((command.dword(11) & COALESCING_DISABLED) !== 0) features.uncoalesced.add(vector);
  else features.uncoalesced.delete(vector);
  return STATUS.SUCCESS;
}
function getVector({ config, features }: Context, command: Command, isDefault: boolean): number {
  const vector = command.dword(11) & 0xffff;
  if (vector > config.queues) return STATUS.INVALID_FIELD;
  const isSet = !isDefault && features.uncoalesced.has(vector);
  command.result = vector | (isSet ? COALESCING_DISABLED : 0);
  return STATUS.SUCCESS;
}

function setTimestamp(context: Context, command: Command): number {
  const bytes = receiveBytes(context, command, 8);
  if (typeof bytes === 'number') return bytes;
  const words = new DataView(bytes.buffer, bytes.byteOffset);
  const ms = words.getUint32(0, true) + words.getUint16(4, true) * 2 ** 32;
  context.features.timestamp = { ms, setNs: context.port.clock.nowNs };
  return STATUS.SUCCESS;
}
function getTimestamp(context: Context, command: Command, isDefault: boolean): number {
  const { features, port } = context;
  const set = isDefault ? undefined : features.timestamp;
  const ms = (set?.ms ?? 0) + Math.floor((port.clock.nowNs - (set?.setNs ?? 0)) / 1e6);
  const words = new DataView(new ArrayBuffer(8));
  words.setUint32(0, ms % 2 ** 32, true);
  words.setUint16(4, Math.floor(ms / 2 ** 32), true);
  words.setUint8(6, set ? SET_BY_HOST : 0);
  return sendPage(context, command, new Uint8Array(words.buffer));
}

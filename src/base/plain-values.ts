/**
 * Plain values as bytes and back: what can be cloned, such as the state of a device, for a stream to another machine.
 *
 * Every value is a tag and what belongs to it, little-endian; lengths come first. Bytes that were not made here are an
 * errno and never an exception, and take no more memory than they are long, times a small factor.
 */
import { Bug } from './bug.ts';
import { EINVAL, isErrno, type Result } from './errno.ts';
import { refuse } from './refuse.ts';

const TAG = {
  undefined: 0,
  null: 1,
  false: 2,
  true: 3,
  number: 4,
  bigint: 5,
  string: 6,
  bytes: 7,
  array: 8,
  object: 9,
  map: 10,
  set: 11,
} as const;

/** Kinds of typed arrays, by their number in the bytes. */
const ARRAYS = [
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigUint64Array,
  BigInt64Array,
] as const;

/** Values inside of values; more are refused. */
const DEEPEST = 64;
const CONSTANTS = [undefined, null, false, true] as const;

/** As bytes. A Bug: it holds what cannot be cloned, or what holds itself. */
export function encodePlain(value: unknown): Uint8Array {
  const writer = new Writer();
  writer.value(value, 0);
  return writer.taken();
}
/** EINVAL: not the bytes of one value. */
export function decodePlain(bytes: Uint8Array): Result<{ readonly value: unknown }, 'EINVAL'> {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (isErrno(value)) return value;
  if (reader.left === 0) return value;
  return refuse(EINVAL, 'bytes follow the value', { left: reader.left });
}

class Writer {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  taken(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
  value(value: unknown, depth: number): void {
    if (depth > DEEPEST) throw new Bug('a plain value holds itself, or is too deep');
    const constant = CONSTANTS.indexOf(value as never); // cast: any value may be looked for
    if (constant >= 0) this.#tag(constant);
    else if (typeof value === 'object') this.#object(value!, depth);
    else this.#scalar(value);
  }

  #scalar(value: unknown): void {
    switch (typeof value) {
      case 'number':
        this.#tag(TAG.number);
        this.#put(8, (view, at) => view.setFloat64(at, value, true));
        return;
      case 'bigint':
        this.#tag(TAG.bigint);
        this.#text(value.toString(16));
        return;
      case 'string':
        this.#tag(TAG.string);
        this.#text(value);
        return;
      default:
        throw new Bug(`a ${typeof value} is no plain value`);
    }
  }
  #object(value: object, depth: number): void {
    if (ArrayBuffer.isView(value)) this.#array(value);
    else if (Array.isArray(value)) this.#list(TAG.array, value, depth);
    else if (value instanceof Set) this.#list(TAG.set, [...value], depth);
    else if (value instanceof Map) this.#pairs(TAG.map, [...value], depth);
    else if (Object.getPrototypeOf(value) === Object.prototype) {
      this.#pairs(TAG.object, Object.entries(value), depth);
    } else throw new Bug(`a ${value.constructor.name} is no plain value`);
  }
  #array(value: ArrayBufferView): void {
    const kind = ARRAYS.findIndex((type) => value.constructor === type);
    if (kind < 0) throw new Bug(`a ${value.constructor.name} is no plain value`);
    this.#tag(TAG.bytes);
    this.#tag(kind);
    this.#raw(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }
  #list(tag: number, values: readonly unknown[], depth: number): void {
    this.#tag(tag);
    this.#put(4, (view, at) => view.setUint32(at, values.length, true));
    for (const each of values) this.value(each, depth + 1);
  }
  #pairs(tag: number, pairs: readonly (readonly [unknown, unknown])[], depth: number): void {
    this.#tag(tag);
    this.#put(4, (view, at) => view.setUint32(at, pairs.length, true));
    for (const [key, each] of pairs) {
      this.value(key, depth + 1);
      this.value(each, depth + 1);
    }
  }
  #tag(tag: number): void {
    this.#put(1, (view, at) => view.setUint8(at, tag));
  }
  #text(text: string): void {
    this.#raw(new TextEncoder().encode(text));
  }
  #raw(bytes: Uint8Array): void {
    this.#put(4, (view, at) => view.setUint32(at, bytes.length, true));
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }
  /** The view may become another one by making room. */
  #put(length: number, set: (view: DataView, at: number) => void): void {
    const at = this.#room(length);
    set(this.#view, at);
  }
  /** Where the next `length` bytes go. */
  #room(length: number): number {
    const at = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

type Read<T> = Result<{ readonly value: T }, 'EINVAL'>;

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  get left(): number {
    return this.#bytes.length - this.#at;
  }
  value(depth: number): Read<unknown> {
    if (depth > DEEPEST) return refuse(EINVAL, 'values are too deep in values', { depth });
    const tag = this.#number(1);
    if (isErrno(tag)) return tag;
    if (tag < CONSTANTS.length) return { value: CONSTANTS[tag] };
    switch (tag) {
      case TAG.number:
        return this.#float();
      case TAG.bigint:
        return this.#bigint();
      case TAG.string:
        return this.#text();
      case TAG.bytes:
        return this.#array();
      case TAG.array:
      case TAG.set:
        return this.#list(tag, depth);
      case TAG.map:
      case TAG.object:
        return this.#pairs(tag, depth);
      default:
        return refuse(EINVAL, 'no value begins so', { tag });
    }
  }

  #list(tag: number, depth: number): Read<unknown> {
    const values = this.#several(1, depth);
    if (isErrno(values)) return values;
    return { value: tag === TAG.set ? new Set(values.value) : values.value };
  }
  #pairs(tag: number, depth: number): Read<unknown> {
    const values = this.#several(2, depth);
    if (isErrno(values)) return values;
    const pairs: [unknown, unknown][] = [];
    for (let n = 0; n < values.value.length; n += 2) {
      pairs.push([values.value[n], values.value[n + 1]]);
    }
    if (tag === TAG.map) return { value: new Map(pairs) };
    const isNamed = pairs.every(([key]) => typeof key === 'string' && key !== '__proto__');
    if (!isNamed) return refuse(EINVAL, 'the key of an object is no name');
    return { value: Object.fromEntries(pairs) };
  }
  #several(each: number, depth: number): Read<unknown[]> {
    const count = this.#number(4);
    if (isErrno(count)) return count;
    if (count * each > this.left) return this.#cut(count * each);
    const values: unknown[] = [];
    for (let n = 0; n < count * each; n++) {
      const value = this.value(depth + 1);
      if (isErrno(value)) return value;
      values.push(value.value);
    }
    return { value: values };
  }
  #array(): Read<unknown> {
    const kind = this.#number(1);
    if (isErrno(kind)) return kind;
    const raw = this.#raw();
    if (isErrno(raw)) return raw;
    const type = ARRAYS[kind];
    if (!type || raw.length % type.BYTES_PER_ELEMENT !== 0) {
      return refuse(EINVAL, 'no such array', { kind, length: raw.length });
    }
    return { value: new type(raw.slice().buffer) };
  }
  #float(): Read<number> {
    if (this.left < 8) return this.#cut(8);
    this.#at += 8;
    return { value: this.#view.getFloat64(this.#at - 8, true) };
  }
  #bigint(): Read<bigint> {
    const text = this.#text();
    if (isErrno(text)) return text;
    const [, sign, digits] = /^(-?)([0-9a-f]{1,4096})$/.exec(text.value) ?? [];
    if (digits === undefined) return refuse(EINVAL, 'no whole number', { digits: text.value });
    const value = BigInt(`0x${digits}`);
    return { value: sign === '-' ? -value : value };
  }
  #text(): Read<string> {
    const raw = this.#raw();
    return isErrno(raw) ? raw : { value: new TextDecoder().decode(raw) };
  }
  #raw(): Result<Uint8Array, 'EINVAL'> {
    const length = this.#number(4);
    if (isErrno(length)) return length;
    if (length > this.left) return this.#cut(length);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
  #number(width: 1 | 4): Result<number, 'EINVAL'> {
    if (this.left < width) return this.#cut(width);
    const at = this.#at;
    this.#at += width;
    return width === 1 ? this.#view.getUint8(at) : this.#view.getUint32(at, true);
  }
  #cut(wanted: number) {
    return refuse(EINVAL, 'the bytes end within a value', { wanted, left: this.left });
  }
}

/** Checksums that devices compute: the Internet's ones-complement sum, and the CRCs of Ethernet and of Castagnoli. */

/** Sum of the 16-bit big-endian words from `start` to `end`; an odd byte is the high one of its word. Add to `sum`. */
export function wordSum(bytes: Uint8Array, start: number, end: number, sum = 0): number {
  let at = start;
  let total = sum;
  // A double holds the sum of 2^37 words.
  for (; at + 1 < end; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!;
  return at < end ? total + (bytes[at]! << 8) : total;
}
/** The 16 bits that make a sum come out as all ones. */
export function complement(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x1_0000) + Math.floor(folded / 0x1_0000);
  return ~folded & 0xffff;
}

/** Remainders of one byte, for a reflected polynomial. */
function crcTable(polynomial: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let rest = byte;
    for (let n = 0; n < 8; n++) rest = rest & 1 ? (rest >>> 1) ^ polynomial : rest >>> 1;
    return rest;
  });
}
const ETHERNET = crcTable(0xedb8_8320);
const CASTAGNOLI = crcTable(0x82f6_3b78);

function crc(table: Uint32Array, bytes: Uint8Array, start: number): number {
  let rest = 0xffff_ffff;
  for (let at = start; at < bytes.length; at++) {
    rest = table[(rest ^ bytes[at]!) & 0xff]! ^ (rest >>> 8);
  }
  return ~rest >>> 0;
}
/** CRC-32 of Ethernet (ISO 3309), of the bytes from `start` on: its bytes follow the frame lowest first. */
export function crc32(bytes: Uint8Array, start = 0): number {
  return crc(ETHERNET, bytes, start);
}
/** CRC-32C (Castagnoli) of the bytes from `start` on: SCTP has its bytes lowest first. */
export function crc32c(bytes: Uint8Array, start = 0): number {
  return crc(CASTAGNOLI, bytes, start);
}

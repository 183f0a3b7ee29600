/** Byte i of `bytes` becomes byte i mod 8 of the pattern, the lowest first. */
export function fillPattern(bytes: Uint8Array, pattern: bigint): Uint8Array {
  const word = new Uint8Array(8);
  new DataView(word.buffer).setBigUint64(0, pattern, true);
  for (let at = 0; at < bytes.length; at += 8) {
    bytes.set(word.subarray(0, Math.min(8, bytes.length - at)), at);
  }
  return bytes;
}

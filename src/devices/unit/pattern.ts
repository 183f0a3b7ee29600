/** Byte i of `bytes` becomes byte i mod 8 of the pattern, the lowest first. */
export function fillPattern(bytes: Uint8Array, pattern: bigint): Uint8Array {
  const word = new Uint8Array(8);
  new DataView(word.buffer).setBigUint64(0, pattern, true);
  bytes.set(word.subarray(0, bytes.length));
  for (let done = word.length; done < bytes.length; done *= 2) bytes.copyWithin(done, 0, done);
  return bytes;
}

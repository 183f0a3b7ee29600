/** Options of every device with a plug for Ethernet. */

/** The address of the station. */
export const MAC_OPTION = {
  kind: 'text',
  default: '02:00:00:00:00:01',
  form: {
    words: 'the address of one station, six bytes in hex with colons',
    pattern: /^[0-9a-fA-F][02468aceACE](?::[0-9a-fA-F]{2}){5}$/,
  },
  help: 'station address; give each port of a wire its own',
} as const;

/** Where its plug is. */
export const WIRE_OPTION = {
  kind: 'text',
  default: 'sink',
  help: 'sink, self, unplugged, the address of another port, or a wire of the host',
} as const;

/** The bytes of a station address that has the form above. */
export function macOf(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (byte) => parseInt(byte, 16));
}

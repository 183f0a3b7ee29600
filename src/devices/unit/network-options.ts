/** Options of every device with a plug for Ethernet. */

/** The address of the station. */
export const MAC_OPTION = {
  kind: 'text',
  default: '',
  form: {
    words: 'the address of one station, six bytes in hex with colons, or nothing',
    pattern: /^(?:[0-9a-fA-F][02468aceACE](?::[0-9a-fA-F]{2}){5})?$/,
  },
  help: 'station address; default: 02:00, the domain, the bus, and device and function of its place',
} as const;

/** Where its plug is. */
export const WIRE_OPTION = {
  kind: 'text',
  default: 'sink',
  help: 'sink, self, unplugged, the address of another port, or a wire of the host',
} as const;

/**
 * The station address of a device: the one its option gives, else one that follows from its place, 'DDDD:BB:DD.F', so that
 * no two of a machine have the same and each has the same in every run: 0000:00:04.0 is 02:00:00:00:00:20.
 */
export function stationAddress(given: string, place: string): Uint8Array {
  if (given !== '') return macOf(given);
  const [domain = 0, bus = 0, device = 0, fn = 0] = place
    .split(/[:.]/)
    .map((digits) => parseInt(digits, 16));
  return Uint8Array.of(2, 0, domain >> 8, domain & 0xff, bus, (device << 3) | fn);
}

/** The bytes of a station address in text. */
export function macOf(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (byte) => parseInt(byte, 16));
}

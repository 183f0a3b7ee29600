/** The ends of wires outside of a machine, as whoever gives them to it makes them. */
export type { WireBacking, WireReceiver } from '../../devices/host-services.ts';

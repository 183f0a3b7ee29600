/** Devices and domains as events name them. */
import type { Ref } from '../../base/refs.ts';
import type { Device } from './device.ts';
import type { Domain } from './domain.ts';

/** A device in an event. */
export function deviceRef(dev: Device): Ref {
  return dev.core.env.refs.of(dev, 'device', dev.name);
}
/** Who sent a request: the device with this id on the bus, or the id itself, as `text`, where none has it. */
export function requesterRef(dev: Device | undefined, text: string): Ref {
  return dev ? deviceRef(dev) : { kind: 'requester', id: text, born: undefined };
}
/** The kernel has found a device. */
export function deviceBorn(dev: Device): void {
  dev.core.env.refs.born(dev, 'device', dev.name);
}
/** The kernel has forgotten it; what is plugged in may be found again, as another device. */
export function deviceGone(dev: Device): void {
  dev.core.env.refs.gone(dev, 'device', dev.name);
}
/** A device came into a group, or left it. */
export function groupChanged(dev: Device, what: 'group-add' | 'group-remove', id: number): void {
  const { trace } = dev.core.env;
  if (trace.hears.life) trace.emit({ kind: 'life', what, who: deviceRef(dev), detail: String(id) });
}
/** A domain in an event. */
export function domainRef(domain: Domain): Ref {
  return domain.core.env.refs.of(domain, 'domain', domain.name);
}
/** A driver or the core made a domain, and somebody took it. */
export function domainBorn(domain: Domain): void {
  domain.core.env.refs.born(domain, 'domain', domain.name);
}
/** It is about to be freed. */
export function domainGone(domain: Domain): void {
  domain.core.env.refs.gone(domain, 'domain', domain.name);
}

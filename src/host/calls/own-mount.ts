/** Mappings of what is no file of a device: the host's, but for the attributes that a mount of ours shows. */
import type { DescriptorLink } from '../sys/look.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import type { Answer } from '../seccomp/notification.ts';
import type { CallContext } from './call-context.ts';

/**
 * An attribute cannot be mapped, as in sysfs: ENODEV. FUSE refuses shared mappings of it and allows private ones, and a copy
 * from such a page would wait for ourselves. Its name, the text of the link, does not say it all: a program may have bound it
 * elsewhere.
 */
export function mmapOfHost(
  context: CallContext,
  file: DescriptorLink,
  link: string | number,
): Answer {
  const isNamed = typeof link === 'string' && context.isMounted(link);
  return isNamed || context.isOfOurMount(file) ? -HOST_ERRNO.ENODEV : 'continue';
}

/** `softiommu header`: the ABI that is served, as a C header on standard output. */
import { Command } from '@commander-js/extra-typings';
import { cHeader } from '../../insight/views/c-header.ts';
import { print } from '../output.ts';
import { withUsage } from '../usage.ts';

/** The command `header`. */
export function headerCommand() {
  const command = new Command('header')
    .description(
      "print a C header with the structs and numbers of iommufd and VFIO, the newest kernel's",
    )
    .action(() => print(cHeader()));
  return withUsage(command);
}

/** `softiommu new device NAME [DIR]`: the files that somebody begins with. */
import { Command } from '@commander-js/extra-typings';
import { newDevice } from '../new-device.ts';
import { print } from '../output.ts';
import { withUsage } from '../usage.ts';

/** The command `new`. */
export function newCommand() {
  const device = new Command('device')
    .description('write a device model in TypeScript, its test, and a C program that drives it')
    .argument('<name>', 'of the type: small letters, digits and dashes')
    .argument('[dir]', 'where to; default: a folder of that name')
    .action((name, dir = name) => {
      const files = newDevice(name, dir);
      print(`${files.join('\n')}\nHow to run them: ${files.at(-1)}\n`);
    });
  const command = new Command('new').description('begin something of your own');
  command.addCommand(withUsage(device));
  return withUsage(command);
}

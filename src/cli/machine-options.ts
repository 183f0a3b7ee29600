/** The machine of a command: the same options everywhere. */
import { InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { VERSION_FORM } from '../base/kernel-release.ts';
import { BACKEND_NAMES } from '../machine/description/backend-names.ts';
import { collect } from './option-values.ts';

/** `--machine`: which one; preset:default without it. */
export const machineOption = () =>
  new Option('--machine <file>', 'machine description: a YAML file, or preset:NAME');
/** `--device`, any number of times: adds to the machine. */
export const deviceOption = () =>
  new Option(
    '--device <spec>',
    'add a device: TYPE[,bdf=DDDD:BB:DD.F][,OPTION=VALUE…], or help, or TYPE,help; may be repeated',
  ).argParser(collect);
/** `--iommu`, any number of times: these are all there are. */
export const iommuOption = () =>
  new Option(
    '--iommu <spec>',
    "IOMMU in place of the machine's: TYPE[,OPTION=VALUE…], or help, or TYPE,help; may be repeated",
  ).argParser(collect);
/** `--block`, any number of times: storage for devices that name it. */
export const blockOption = () =>
  new Option(
    '--block <spec>',
    'add storage: NAME,memory=SIZE or NAME,file=PATH[,mode=MODE][,size=SIZE]; may be repeated',
  ).argParser(collect);
/** `--wire`, any number of times: ways out of the machine for a device that names one. */
export const wireOption = () =>
  new Option(
    '--wire <spec>',
    'add a wire to the host: NAME,tap=INTERFACE or NAME,listen=FILE or NAME,connect=FILE or NAME,datagram=FILE,to=FILE; may be repeated',
  ).argParser(collect);
/** `--bar`, any number of times: how users of vfio reach BARs. */
export const barOption = () =>
  new Option(
    '--bar <how>',
    'how programs reach memory BARs: trap, plain or none, or DDDD:BB:DD.F=HOW of one device, DDDD:BB:DD.F/INDEX=HOW of one BAR; may be repeated',
  ).argParser(collect);
/** `--kernel`: in place of the machine's. */
export const kernelOption = () =>
  new Option('--kernel <version>', 'the version of Linux it behaves as, such as 6.12').argParser(
    linuxVersion,
  );
/** A version as kernels are called. Throws InvalidArgumentError. */
export function linuxVersion(text: string): string {
  if (VERSION_FORM.test(text)) return text;
  throw new InvalidArgumentError('it is a version of Linux, such as 6.12 or 6.8.0-45-generic.');
}
/** `--backend`: one way to devices, and no other. */
export const backendOption = () =>
  new Option(
    '--backend <way>',
    'a kernel that offers devices in this way only (docs/matrix.md)',
  ).choices(BACKEND_NAMES);
/** `--nodefaults`: nothing is plugged in but what other options add. */
export const nodefaultsOption = () =>
  new Option('--nodefaults', 'begin with a machine without devices, in place of preset:default');
/** `--plugin`, any number of times: types and presets of the user's own. */
export const pluginOption = () =>
  new Option(
    '--plugin <file>',
    'module with devices, IOMMUs and presets of your own; runs with your rights; may be repeated',
  ).argParser(collect);

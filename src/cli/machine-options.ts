/** The machine of a command: the same options everywhere. */
import { Option } from '@commander-js/extra-typings';
import { collect } from './repeatable.ts';

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
/** `--nodefaults`: nothing is plugged in but what other options add. */
export const nodefaultsOption = () =>
  new Option('--nodefaults', 'begin with a machine without devices, in place of preset:default');
/** `--plugin`, any number of times: types and presets of the user's own. */
export const pluginOption = () =>
  new Option(
    '--plugin <file>',
    'module with devices, IOMMUs and presets of your own; runs with your rights; may be repeated',
  ).argParser(collect);

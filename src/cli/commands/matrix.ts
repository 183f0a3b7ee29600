/** `softiommu matrix -- PROGRAM`: the same program on machines that differ, and which of its calls differed. */
import { Command, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { STATUS_STOPPED } from '../../host/sys/exit-status.ts';
import {
  allWell,
  matrixData,
  matrixText,
  type MatrixCell,
} from '../../insight/matrix/matrix-report.ts';
import { BACKEND_NAMES, type BackendName } from '../../machine/description/backend-names.ts';
import { linuxVersion } from '../machine-options.ts';
import { planCells } from '../matrix/cells.ts';
import { runCell } from '../matrix/run-cell.ts';
import { withManyRuns } from '../many-runs.ts';
import { collect, positive } from '../option-values.ts';
import { print, printJson } from '../output.ts';
import { modeOption } from '../run-options.ts';
import { withUsage } from '../usage.ts';

/** The program did not end well everywhere. */
const STATUS_NOT_WELL = 1;
const LIMIT_S = 60;

interface MatrixFlags {
  readonly machine?: string[];
  readonly backends?: BackendName[];
  readonly kernel?: string[];
  readonly timeLimit: number;
  readonly mode?: string;
  readonly json?: true;
}

function backendList(text: string): BackendName[] {
  return listOf(text, (name) => {
    const known = BACKEND_NAMES.find((one) => one === name);
    if (known !== undefined) return known;
    throw new InvalidArgumentError(`there are ${BACKEND_NAMES.join(', ')}.`);
  });
}
function kernelList(text: string): string[] {
  return listOf(text, linuxVersion);
}
function listOf<T>(text: string, parse: (word: string) => T): T[] {
  const all = text.split(',').map(parse);
  if (new Set(all).size === all.length) return all;
  throw new InvalidArgumentError('one of them is there twice.');
}

async function runMatrix(argv: string[], flags: MatrixFlags): Promise<void> {
  const { machine, backends, kernel, mode, json, timeLimit } = flags;
  const planned = await planCells({
    machines: machine ?? [undefined],
    backends: backends ?? BACKEND_NAMES,
    kernels: kernel ?? [undefined],
  });
  const cells: MatrixCell[] = [];
  const isStopped = await withManyRuns(async (runs) => {
    const common = mode === undefined ? [] : ['--mode', mode];
    const run = { runs, argv, limitMs: timeLimit * 1000, flags: common };
    for (const cell of planned) cells.push(await runCell(cell, run));
    return runs.children.isOver();
  });
  if (json) printJson(matrixData(argv, cells));
  else print(matrixText(cells));
  if (!allWell(cells)) process.exitCode = STATUS_NOT_WELL;
  if (isStopped) process.exitCode = STATUS_STOPPED;
}

/** The command `matrix`; its status is 1 when the program did not end well everywhere. */
export function matrixCommand() {
  const command = new Command('matrix')
    .description('run a program on machines that differ, and show which of its calls differed')
    .argument('<program...>', 'the program and its arguments, after --')
    .addOption(
      new Option(
        '--backends <list>',
        `the ways its kernels offer devices, with commas: ${BACKEND_NAMES.join(', ')}; default: all`,
      ).argParser(backendList),
    )
    .addOption(
      new Option('--machine <file>', 'a machine file or preset:NAME; may be repeated').argParser(
        collect,
      ),
    )
    .addOption(
      new Option('--kernel <list>', 'versions of Linux, with commas: 6.1,6.12,7.3').argParser(
        kernelList,
      ),
    )
    .addOption(
      new Option('--time-limit <seconds>', 'a run that lasts longer is ended')
        .argParser(positive)
        .default(LIMIT_S),
    )
    .option('--json', 'answer as JSON')
    .addOption(modeOption())
    .passThroughOptions()
    .action((argv, options) => runMatrix(argv, options));
  return withUsage(command);
}

/** `softiommu test-attach`: would these attaches succeed, and if not, why not, for every device (core.md 6.5)? */
import { Command } from '@commander-js/extra-typings';
import { columns } from '../../insight/views/columns.ts';
import { testWishes, type WishAnswer } from '../../machine/wishes/test-wishes.ts';
import { parseWishes, type Wish, type WishList } from '../../machine/wishes/wish-list.ts';
import { loadMachine, openChoice, type MachineChoice, type OpenedChoice } from '../machine-file.ts';
import {
  deviceOption,
  iommuOption,
  machineOption,
  nodefaultsOption,
  pluginOption,
} from '../machine-options.ts';
import { complain, print, printJson } from '../output.ts';
import { withUsage } from '../usage.ts';
import { readUserFile } from '../user-file.ts';
import { parseYaml, problemsText, type Places } from '../user-yaml.ts';
import { UserMistake } from '../user-mistake.ts';

/** Wishes that were asked, with their answers in the same order. */
export interface WishRun {
  readonly list: WishList;
  readonly answers: readonly WishAnswer[];
}

/** Read both files and ask. Throws UserMistake with one line per problem. */
export function testAttachFiles(choice: MachineChoice | OpenedChoice, wishesName: string): WishRun {
  const machine = loadMachine(choice, 'known' in choice ? choice.known : undefined);
  const text = readUserFile(wishesName, 'wishes file');
  return askWishes(machine, text, wishesName);
}

function askWishes(machine: ReturnType<typeof loadMachine>, text: string, name: string): WishRun {
  const file = parseYaml(text, name);
  // In a file that is only a list, there is no key 'wishes'.
  const isBare = Array.isArray(file.value);
  const places: Places = { place: (path) => file.place(isBare ? path.slice(1) : path) };
  const parsed = parseWishes(file.value);
  if ('problems' in parsed) throw new UserMistake(problemsText(parsed.problems, places));
  const asked = testWishes(machine, parsed.list);
  if ('problems' in asked) throw new UserMistake(problemsText(asked.problems, places));
  return { list: parsed.list, answers: asked.answers };
}

// --- as JSON ---

/** Everything a script may want, as plain data. */
export function answersAsData({ list, answers }: WishRun) {
  return {
    ok: answers.every(({ errno }) => errno === undefined),
    whatIf: list.whatIf,
    wishes: answers.map(({ wish, errno, devices }, index) => ({
      wish: index + 1,
      domain: wish.domain,
      target: wish.device !== undefined ? { device: wish.device } : { group: wish.group },
      pasid: wish.pasid,
      mode: wish.mode,
      errno: errno?.name ?? null,
      devices: devices.map((each) => ({
        device: each.device ?? null,
        errno: each.errno?.name ?? null,
        stage: each.stage,
        reason: each.reason,
      })),
    })),
  };
}

// --- as a table ---

const HEAD = ['wish', 'domain', 'target', 'pasid', 'mode', 'device', 'result', 'stage', 'reason'];

/** One line per wish and device, and what the calls would return. */
export function answersAsTable({ answers }: WishRun): string {
  const rows = answers.flatMap(({ wish, devices }, index) =>
    devices.map(({ device, errno, stage, reason }, member) => [
      ...(member === 0 ? wishCells(wish, index) : ['', '', '', '', '']),
      device ?? '-',
      errno?.name ?? 'ok',
      errno ? stage : '',
      reason,
    ]),
  );
  const refused = answers.filter(({ errno }) => errno !== undefined).length;
  const verdict =
    refused === 0
      ? `all ${String(answers.length)} would succeed`
      : `${String(refused)} of ${String(answers.length)} would be refused`;
  return `${columns([HEAD, ...rows])}\n\n${verdict}\n`;
}

function wishCells(wish: Wish, index: number): string[] {
  const target = wish.device ?? `group ${String(wish.group)}`;
  return [String(index + 1), domainText(wish.domain), target, String(wish.pasid), wish.mode];
}

function domainText(domain: Wish['domain']): string {
  if (typeof domain === 'string') return domain;
  const flags = domain.flags.map((flag) => ` ${flag}`).join('');
  return `${domain.type}${flags} of ${domain.device ?? domain.iommu ?? '?'}`;
}

// --- the command ---

const STATUS = { passed: 0, refused: 1, badInput: 2 } as const;

/** The command `test-attach`; its status says whether every wish would come true. */
export function testAttachCommand() {
  const command = new Command('test-attach')
    .description('ask whether attaches would succeed, and why not; nothing is attached')
    .argument('<wishes>', 'YAML or JSON file: a list of wishes, or an object with wishes')
    .addOption(machineOption())
    .addOption(deviceOption())
    .addOption(iommuOption())
    .addOption(pluginOption())
    .addOption(nodefaultsOption())
    .option('--json', 'answer as JSON')
    .addHelpText('after', HELP)
    .action(async (wishes, options) => {
      try {
        const run = testAttachFiles(await openChoice(options), wishes);
        const data = answersAsData(run);
        if (options.json) printJson(data);
        else print(answersAsTable(run));
        process.exitCode = data.ok ? STATUS.passed : STATUS.refused;
      } catch (error) {
        if (!(error instanceof UserMistake)) throw error;
        complain(error.message);
        process.exitCode = STATUS.badInput;
      }
    });
  return withUsage(command, STATUS.badInput);
}

const HELP = `
A wish: { domain: NAME or DOMAIN, device: BDF or group: N, pasid: 0, mode: attach or replace }
A domain: { device: BDF or iommu: NAME, type: paging, identity, blocked or default,
            flags: [nest-parent, dirty-tracking, pasid] }
The file: a list of wishes, or { domains: { NAME: DOMAIN }, before: [WISH], wishes: [WISH], whatIf: false };
'before' is attached for real first; whatIf leaves out what is only in the way now (busy, reset, PASID taken).

Exit status: 0 all would succeed, 1 some would be refused, 2 the files are wrong.`;

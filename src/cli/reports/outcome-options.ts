/** Options that write how a run went for machines: one a form. */
import { Option } from '@commander-js/extra-typings';

/** What the command line says of them. */
export interface OutcomeFlags {
  readonly junit?: string;
  readonly ktap?: string;
  readonly sarif?: string;
  readonly json?: string;
  readonly github?: true;
}

/** Forms that are files, each named as its option. */
export const FORM_NAMES = ['json', 'junit', 'ktap', 'sarif'] as const;
/** One of them. */
export type FormName = (typeof FORM_NAMES)[number];
/** Does a command line ask for any? */
export function wantsOutcome(flags: OutcomeFlags): boolean {
  return flags.github === true || FORM_NAMES.some((name) => flags[name] !== undefined);
}
/** Files by the options that name them. */
export function outcomeNames(flags: OutcomeFlags): readonly (readonly [string, string])[] {
  return FORM_NAMES.flatMap((name): [string, string][] => {
    const file = flags[name];
    return file === undefined ? [] : [[`--${name}`, file]];
  });
}

/** `--junit` of a run */
export const runJunitOption = () =>
  new Option('--junit <file>', 'write how the run went as JUnit results');
/** `--ktap` */
export const ktapOption = () => new Option('--ktap <file>', 'write how the run went as KTAP');
/** `--sarif` */
export const sarifOption = () =>
  new Option('--sarif <file>', 'write what was noticed as SARIF 2.1.0, for code scanning');
/** `--json` of a run */
export const runJsonOption = () => new Option('--json <file>', 'write how the run went as JSON');
/** `--github` */
export const githubOption = () =>
  new Option(
    '--github',
    'say what was noticed as annotations of GitHub Actions, and add to the summary of the job',
  );

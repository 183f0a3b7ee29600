/** From the options of `run --sanitize`, and SOFTIOMMU_OPTIONS, to what the sanitizer is to do. */
import { resolve } from 'node:path';
import type { SanitizePlan } from '../host/launch/run.ts';
import type { FailReason } from '../insight/ci-reports/fail-reason.ts';
import { ALL_FINDINGS, DEFAULT_FINDINGS, type FindingKind } from '../insight/sanitizer/finding.ts';
import { exitcodeOf, type SanitizeFlags } from './sanitize-flags.ts';
import { printable } from '../machine/description/wording.ts';
import { UserMistake } from './user-mistake.ts';

const FAIL_REASONS: readonly FailReason[] = ['finding', 'leak', 'fault', 'warn'];
const FAILS_BY_DEFAULT: readonly FailReason[] = ['finding', 'leak'];
/** What the environment may say, as ASAN_OPTIONS does, and the flag it is. */
const VARIABLE = 'SOFTIOMMU_OPTIONS';
type Reader = (value: string) => SanitizeFlags;
const SETTINGS: Readonly<Record<string, Reader>> = {
  sanitize: (sanitize) => ({ sanitize }),
  error_exitcode: (value) => ({ errorExitcode: statusOf(value) }),
  fail_on: (failOn) => ({ failOn }),
  suppressions: (suppressions) => ({ suppressions }),
  findings: (findings) => ({ findings }),
  gen_suppressions: (value) => (value === '1' ? { genSuppressions: true } : {}),
};

/** Undefined: nobody asked for it. Rejects with UserMistake: a word that is unknown, a file that cannot be read. */
export async function sanitizePlan(
  flags: SanitizeFlags,
  environment = '',
): Promise<SanitizePlan | undefined> {
  const all = { ...fromEnvironment(environment), ...given(flags) };
  const { sanitize, failOn, suppressions, errorExitcode, genSuppressions, findings } = all;
  if (sanitize === undefined) {
    const alone = Object.keys(given(flags))[0];
    if (alone === undefined) return undefined;
    throw new UserMistake(`${optionOf(alone)} is for a run with --sanitize`);
  }
  return {
    kinds: kindsOf(sanitize === true ? 'default' : sanitize),
    suppressions: suppressions === undefined ? [] : await suppressionsOf(suppressions),
    findings: findings === undefined ? undefined : resolve(findings),
    generate: genSuppressions === true,
    exitcode: errorExitcode,
    failOn: failOn === undefined ? FAILS_BY_DEFAULT : words(failOn, FAIL_REASONS, '--fail-on'),
  };
}
/** Without what is not given. */
function given(flags: SanitizeFlags): SanitizeFlags {
  const { sanitize, errorExitcode, failOn, suppressions, genSuppressions, findings } = flags;
  return {
    ...(sanitize !== undefined && { sanitize }),
    ...(errorExitcode !== undefined && { errorExitcode }),
    ...(failOn !== undefined && { failOn }),
    ...(suppressions !== undefined && { suppressions }),
    ...(findings !== undefined && { findings }),
    ...(genSuppressions && { genSuppressions }),
  };
}
function optionOf(flag: string): string {
  return `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function fromEnvironment(text: string): SanitizeFlags {
  let flags: SanitizeFlags = {};
  for (const setting of text.split(':').filter(Boolean)) {
    const [name = '', ...value] = setting.split('=');
    const reader = Object.hasOwn(SETTINGS, name) ? SETTINGS[name] : undefined;
    if (!reader || value.length === 0) {
      const known = Object.keys(SETTINGS).join(', ');
      throw new UserMistake(`${VARIABLE}: '${setting}' is not NAME=VALUE with one of ${known}`);
    }
    flags = { ...flags, ...reader(value.join('=')) };
  }
  return flags;
}
function statusOf(text: string): number {
  const status = exitcodeOf(text);
  if (status !== undefined) return status;
  throw new UserMistake(`${VARIABLE}: error_exitcode=${text}: a status is 1 to 124`);
}

function kindsOf(text: string): FindingKind[] {
  const names = words(text, ['default', 'all', ...ALL_FINDINGS], '--sanitize');
  const kinds = names.flatMap((name) =>
    name === 'all' ? ALL_FINDINGS : name === 'default' ? DEFAULT_FINDINGS : [name],
  );
  return [...new Set(kinds)];
}
function words<W extends string>(text: string, known: readonly W[], option: string): W[] {
  return text.split(',').map((word) => {
    const found = known.find((one) => one === word);
    if (found !== undefined) return found;
    throw new UserMistake(`${option}: '${word}' is none of ${known.join(', ')}`);
  });
}
async function suppressionsOf(file: string): Promise<SanitizePlan['suppressions']> {
  const [{ readUserFile }, { parseSuppressions }] = await Promise.all([
    import('./user-file.ts'),
    import('../insight/sanitizer/suppressions.ts'),
  ]);
  const parsed = parseSuppressions(readUserFile(file, '--suppressions:'));
  if (typeof parsed === 'string') {
    throw new UserMistake(`--suppressions: ${printable(file)}: ${parsed}`);
  }
  return parsed;
}

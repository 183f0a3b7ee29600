// The command line of `npm run conformance`: what is not on it is refused before anything runs.
import { parseArgs } from 'node:util';
import { UserError } from './debian.mjs';

const NUMBER = { words: 'a number from 1 to 999999', pattern: /^[1-9]\d{0,5}$/ };
const oneOf = (...words) => ({
  words: words.join(' or '),
  pattern: new RegExp(`^(?:${words.join('|')})$`),
});
const ANY = { words: 'a name', pattern: /./ };
/** What a value must be, by its option. */
const FORMS = {
  mode: oneOf('namespace', 'traps'),
  pin: oneOf('copy', 'exact'),
  test: ANY,
  device: ANY,
  ktap: ANY,
  junit: ANY,
  cycles: NUMBER,
  kills: NUMBER,
  sanitize: ANY,
};
const SWITCHES = {
  install: { type: 'boolean', default: false },
  explain: { type: 'boolean', default: true },
};

/** The suite, and its options. Throws UserError. */
export function readOptions(args, suites) {
  const { values, positionals } = parsed(args, usage(suites));
  const [suite, ...others] = positionals;
  if (!suites.includes(suite) || others.length > 0) {
    const given = positionals.length === 0 ? 'no suite' : `'${positionals.join(' ')}'`;
    throw new UserError(`${given} is given, and one suite is wanted\n${usage(suites)}`);
  }
  for (const [name, { words, pattern }] of Object.entries(FORMS)) {
    const value = values[name];
    if (value !== undefined && !pattern.test(value)) {
      throw new UserError(`--${name} is ${words}, not '${value}'\n${usage(suites)}`);
    }
  }
  return { suite, values };
}

function parsed(args, help) {
  const texts = Object.keys(FORMS).map((name) => [name, { type: 'string' }]);
  const options = { ...SWITCHES, ...Object.fromEntries(texts) };
  try {
    return parseArgs({ args, allowPositionals: true, allowNegative: true, options });
  } catch (error) {
    throw new UserError(`${error.message.split('. ')[0]}\n${help}`);
  }
}

function usage(suites) {
  const more = Object.keys(FORMS).map((name) => `[--${name} ${name.toUpperCase()}]`);
  return `usage: npm run conformance -- {${suites.join('|')}} [--install] [--no-explain] ${more.join(' ')}`;
}

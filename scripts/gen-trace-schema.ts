/**
 * schema/trace.schema.json, the JSON Schema of the lines of a trace: made of what reads them. `--check` fails when it is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { format } from 'prettier';
import { traceJsonSchema } from '../src/insight/trace/schema.ts';

const FILE = 'schema/trace.schema.json';
const text = await format(JSON.stringify(traceJsonSchema()), { printWidth: 100, parser: 'json' });

if (!process.argv.includes('--check')) writeFileSync(FILE, text);
else if (readFileSync(FILE, 'utf8') !== text) {
  console.error(`${FILE} is stale: npx tsx scripts/gen-trace-schema.ts`);
  process.exitCode = 1;
}

/**
 * The decoder of instructions, loaded at the first access to registers: it takes twice as long to load as Node takes to start,
 * and most programs touch none.
 */
import { createRequire } from 'node:module';
import type * as Iced from 'iced-x86';

const require = createRequire(import.meta.url);
/** Found now: without a descriptor to spare, Node would say later that there is no such package, and not what is the matter. */
const path = require.resolve('iced-x86');
let loaded: typeof Iced | undefined;

/** iced-x86, of which nothing may be asked while modules are loaded. */
export const iced: typeof Iced = new Proxy(
  // cast: every property is the package's
  {} as typeof Iced,
  {
    get(_, name) {
      // cast: createRequire knows no types
      loaded ??= require(path) as typeof Iced;
      // cast: nothing else is asked for
      return loaded[name as keyof typeof Iced];
    },
  },
);

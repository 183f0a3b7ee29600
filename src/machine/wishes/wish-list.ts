/**
 * Attaches somebody would like to make, as plain data: what `softiommu test-attach` reads (core.md 6.5).
 *
 * Domains have names or stand in the wish; `before` are attaches that are made for real first, so that a wish can meet
 * a group that is busy or a PASID that is taken. This file knows shapes; test-wishes.ts asks the machine.
 */
import * as z from 'zod';
import { bdf } from '../description/description.ts';
import { must, OUR_WORDS, shapeProblems, type Problem } from '../description/shape-problems.ts';

/** Flags of a paging domain, by what they ask for. */
export const DOMAIN_FLAGS = ['nest-parent', 'dirty-tracking', 'pasid'] as const;
const DOMAIN_TYPES = ['paging', 'identity', 'blocked', 'default'] as const;
const MODES = ['attach', 'replace'] as const;

const domain = z.strictObject({
  /** Made for this device, by its driver. */
  device: bdf.optional(),
  /** Made for the first device behind this IOMMU. */
  iommu: z.string().optional(),
  type: z.enum(DOMAIN_TYPES).default('paging'),
  flags: z.array(z.enum(DOMAIN_FLAGS)).default([]),
});

const wish = z.strictObject({
  /** A name of `domains`, or a domain. */
  domain: z.union([z.string(), domain]),
  device: bdf.optional(),
  group: z.int().nonnegative().optional(),
  pasid: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(0),
  mode: z.enum(MODES).default('attach'),
});

const wishList = z.strictObject({
  /** Only compatibility: leave out what may have changed by the time of the attach. */
  whatIf: z.boolean().default(false),
  domains: z.record(z.string(), domain).default({}),
  before: z.array(wish).default([]),
  wishes: z.array(wish).min(1, { error: 'at least one wish is needed' }),
});

/** A domain a wish asks for. */
export type DomainWish = z.output<typeof domain>;
/** One attach somebody would like to make. */
export type Wish = z.output<typeof wish>;
/** A file of wishes, checked. */
export type WishList = z.output<typeof wishList>;

/** An object with `wishes`, or that list alone; paths of problems begin with 'wishes' in both cases. */
export function parseWishes(
  value: unknown,
): { readonly list: WishList } | { readonly problems: readonly Problem[] } {
  const list = Array.isArray(value) ? { wishes: value } : value;
  const parsed = wishList.safeParse(list, OUR_WORDS);
  if (parsed.success) return { list: parsed.data };
  return { problems: shapeProblems(parsed.error.issues, { keysAt, unionProblems }) };
}

/** A domain that is no name: what is wrong with the object, or that it is neither. */
function unionProblems(issue: z.core.$ZodIssueInvalidUnion, path: Problem['path']): Problem[] {
  const ofObject = issue.errors[1] ?? [];
  const isObject = ofObject.every((each) => each.code !== 'invalid_type' || each.path.length > 0);
  if (isObject) return shapeProblems(ofObject, { keysAt, unionProblems }, path);
  const keys = Object.keys(domain.shape).join(', ');
  return [{ path, message: must(`the name of a domain, or an object with ${keys}`, issue.input) }];
}

/** Keys allowed in the object at this place. */
function keysAt(path: Problem['path']): readonly string[] {
  if (path.length === 0) return Object.keys(wishList.shape);
  if (path[0] === 'domains' || path.at(-1) === 'domain') return Object.keys(domain.shape);
  return Object.keys(wish.shape);
}

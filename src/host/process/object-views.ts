/**
 * The views we have of objects. A view ends with its owner, at the latest when that is collected, or when its object is to be
 * sealed against writing, which a mapping of ours would forbid, collected or not.
 */
import type { FileView } from '../sys/file-view.ts';

const views = new Map<string, Set<FileView>>();
const owners = new FinalizationRegistry<{ readonly object: string; readonly view: FileView }>(
  ({ object, view }) => end(object, view),
);

/** The owner has this view of the object; `before` was its view until now. */
export function ownView(
  owner: object,
  object: string,
  { view, before }: { readonly view: FileView; readonly before: FileView | undefined },
): void {
  owners.unregister(owner);
  if (before) end(object, before);
  owners.register(owner, { object, view }, owner);
  const all = views.get(object) ?? new Set();
  views.set(object, all.add(view));
}
/** Nobody has a view of this object any more. */
export function endViews(object: string): void {
  for (const view of views.get(object) ?? []) end(object, view);
}
function end(object: string, view: FileView): void {
  view.end();
  const all = views.get(object);
  all?.delete(view);
  if (all?.size === 0) views.delete(object);
}

/** Where a program is looked for, as execvp(3) does. */

/** The files it may be, the first that can be executed; `path`: the PATH of whoever starts it. */
export function candidatesOf(program: string, path = '/bin:/usr/bin'): string[] {
  if (program === '') return [];
  if (program.includes('/')) return [program];
  return path.split(':').map((folder) => `${folder || '.'}/${program}`);
}

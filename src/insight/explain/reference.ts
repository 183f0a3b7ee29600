/** Every refusal there is, to look up: `softiommu explain`. Read from the generated docs/errno.md, which lists them all. */

/** A refusal of the code. */
export interface KnownRefusal {
  /** Its name; some places pass on the errno of another, and have an expression here. */
  readonly errno: string;
  /** `…` stands for what is known only when it happens. */
  readonly rule: string;
  /** The part of the kernel that refuses: 'iommufd', 'vfio', 'core'. */
  readonly area: string;
  /** The file in the sources. */
  readonly file: string;
}

const FILE = /^## (src\/(\w+)\/.*)$/;
const ROW = /^\| (\S+) \| (.*) \| [^|]+ \|$/;

/** The rows of docs/errno.md. */
export function parseReference(page: string): KnownRefusal[] {
  const refusals: KnownRefusal[] = [];
  let place: Pick<KnownRefusal, 'area' | 'file'> | undefined;
  for (const line of page.split('\n')) {
    const [, file, area] = FILE.exec(line) ?? [];
    if (file !== undefined && area !== undefined) place = { file, area };
    const [, errno, rule] = ROW.exec(line) ?? [];
    if (!place || errno === undefined || rule === undefined) continue;
    if (/^E[A-Z0-9]/.test(errno))
      refusals.push({ errno, rule: rule.replaceAll('\\|', '|'), ...place });
  }
  return refusals;
}

/** Those with this errno, by name, or with all these words in their rule. Each rule of a file once. */
export function lookUp(all: readonly KnownRefusal[], what: string): KnownRefusal[] {
  const isErrno = all.some(({ errno }) => errno === what);
  const words = what.toLowerCase().split(/\s+/);
  const found = all.filter(({ errno, rule }) =>
    isErrno ? errno === what : words.every((word) => rule.toLowerCase().includes(word)),
  );
  const byPlace = new Map(found.map((one) => [`${one.errno}\t${one.rule}\t${one.file}`, one]));
  return [...byPlace.values()];
}

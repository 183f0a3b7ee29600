/** Objects of an iommufd that a program made itself and never destroyed: they go when it is closed. */
import type { ObjectName, Ref } from '../../base/refs.ts';
import type { CallSite } from '../sites/call-site.ts';

/** What the program asked for; devices and accesses go by what they belong to. */
const OWN = /^(IOAS|HWPT_.*|FAULT|VIOMMU|VDEVICE|VEVENTQ|HW_QUEUE)$/;

/** An object and where it was made. */
export interface LeftObject {
  readonly name: ObjectName;
  readonly site: CallSite | undefined;
}

/** The living, and in which call others have gone. */
export class LeftObjects {
  readonly #living = new Map<number, LeftObject>();
  #gone: { readonly call: number; readonly object: LeftObject }[] = [];

  /** Only what a call made whose place is known: others the kernel makes by itself. */
  born(seq: number, name: ObjectName, site: CallSite | undefined): void {
    if (site && OWN.test(name.kind)) this.#living.set(seq, { name, site });
  }
  gone({ born = -1 }: Ref, call: number): void {
    const object = this.#living.get(born);
    if (!object) return;
    this.#living.delete(born);
    this.#gone.push({ call, object });
  }
  /** Those that went in this call, which is a close; all others were destroyed as they should be. */
  inClose(call: number): LeftObject[] {
    const left = this.#gone.filter((one) => one.call === call).map(({ object }) => object);
    this.#gone = [];
    return left;
  }
}

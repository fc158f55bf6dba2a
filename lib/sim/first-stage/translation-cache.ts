import { IntervalMap } from '../interval-map.js';
import type { Translation } from './walk.js';

/** Translations that were found, by PASID and page. They stay, whatever becomes of the tables, until they are dropped. */
export class TranslationCache {
  readonly #spaces = new Map<number, IntervalMap<Translation>>();

  get size(): number {
    return [...this.#spaces.values()].reduce((total, space) => total + space.size, 0);
  }

  at(pasid: number, address: bigint): Translation | undefined {
    return this.#spaces.get(pasid)?.at(address);
  }

  insert(pasid: number, page: Translation): void {
    const space = this.#spaces.get(pasid) ?? new IntervalMap();
    this.#spaces.set(pasid, space);
    for (const old of space.within(page.start, page.last)) space.remove(old);
    space.insert(page);
  }

  /** Of one PASID, or of all. */
  drop(pasid?: number): void {
    if (pasid === undefined) this.#spaces.clear();
    else this.#spaces.delete(pasid);
  }

  /** The pages that share an address with the range, of one PASID or of all. */
  dropRange(pasid: number | undefined, start: bigint, last: bigint): void {
    const spaces = pasid === undefined ? [...this.#spaces.values()] : [this.#spaces.get(pasid)];
    for (const space of spaces) for (const page of space?.within(start, last) ?? []) space?.remove(page);
  }
}

/** The objects of one open /dev/iommu: one space of ids, and who needs whom. */
import { errno } from '../../abi/errno.js';

/** What an id stands for. */
export abstract class IommufdObject {
  /** What it is called in its file. */
  id = 0;
  /** Other objects that need this one: while there are any, it cannot be destroyed. */
  users = 0;

  /** Lets go of what it holds. */
  abstract release(): void;
}

export class ObjectTable {
  readonly #objects = new Map<number, IommufdObject>();
  /** Ids whose object went without the caller's doing: no other gets them. */
  readonly #tombstones = new Set<number>();

  get size(): number {
    return this.#objects.size;
  }

  /** Gives the object the lowest free id from 1 on. */
  add(object: IommufdObject): number {
    let id = 1;
    while (this.#objects.has(id) || this.#tombstones.has(id)) id += 1;
    this.#objects.set(id, object);
    object.id = id;
    return id;
  }

  /** The object, if it is of that class. */
  find<T extends IommufdObject>(id: number, kind: abstract new (...given: never[]) => T): T | undefined {
    const object = this.#objects.get(id);
    return object instanceof kind ? object : undefined;
  }

  has(object: IommufdObject): boolean {
    return this.#objects.get(object.id) === object;
  }

  *all<T extends IommufdObject>(kind: abstract new (...given: never[]) => T): Generator<T, void> {
    for (const object of this.#objects.values()) if (object instanceof kind) yield object;
  }

  /** iommufd_object_remove: 0 or -errno. */
  destroy(id: number): number {
    const object = this.#objects.get(id);
    if (object === undefined) return -errno.ENOENT;
    if (object.users > 0) return -errno.EBUSY;
    this.#objects.delete(id);
    object.release();
    return 0;
  }

  /** iommufd_object_tombstone_user: the caller may still destroy by an id that must not be another's by then. */
  entomb(id: number): void {
    this.destroy(id);
    this.#tombstones.add(id);
  }

  /** When the file goes: those that nobody needs first, until none is left. */
  releaseAll(): void {
    while (this.#objects.size > 0) {
      const free = [...this.#objects].filter(([, object]) => object.users === 0);
      if (free.length === 0) throw new Error('Objects of /dev/iommu need each other in a circle');
      for (const [id, object] of free) {
        // One that was released may have taken others along.
        if (this.#objects.delete(id)) object.release();
      }
    }
  }
}

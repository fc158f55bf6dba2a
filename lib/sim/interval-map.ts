/** An interval of a 64-bit address space. `last` is inclusive, so that one may end at the very top. */
export interface Interval {
  readonly start: bigint;
  readonly last: bigint;
}

interface Node<T> {
  entry: T;
  priority: number;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
}

/**
 * Disjoint intervals in address order, as a treap: finding, inserting and removing one costs log n steps on average,
 * whatever order they come in.
 */
export class IntervalMap<T extends Interval> {
  #root: Node<T> | undefined;
  #size = 0;
  // A generator of its own keeps shapes repeatable from run to run.
  #random = 0x9e3779b9;

  get size(): number {
    return this.#size;
  }

  /** The interval that holds `address`. */
  at(address: bigint): T | undefined {
    const candidate = this.firstFrom(address);
    return candidate !== undefined && candidate.start <= address ? candidate : undefined;
  }

  /** The first interval, in address order, that ends at or after `address`. */
  firstFrom(address: bigint): T | undefined {
    let found: T | undefined;
    for (let node = this.#root; node !== undefined;) {
      if (address <= node.entry.last) {
        found = node.entry;
        node = node.left;
      } else {
        node = node.right;
      }
    }
    return found;
  }

  /** The first interval that shares an address with `start`…`last`. */
  overlapping(start: bigint, last: bigint): T | undefined {
    const candidate = this.firstFrom(start);
    return candidate !== undefined && candidate.start <= last ? candidate : undefined;
  }

  /** All that share an address with `start`…`last`, in order. The map may change between steps. */
  *within(start: bigint, last: bigint): Generator<T, void> {
    for (let entry = this.overlapping(start, last); entry !== undefined; entry = this.overlapping(entry.last + 1n, last)) {
      yield entry;
    }
  }

  /** @throws RangeError if it overlaps one that is there. */
  insert(entry: T): void {
    if (this.overlapping(entry.start, entry.last) !== undefined) {
      throw new RangeError(`The interval ${entry.start}…${entry.last} overlaps another`);
    }
    const [left, right] = split(this.#root, entry.start);
    this.#root = merge(merge(left, { entry, priority: this.#next(), left: undefined, right: undefined }), right);
    this.#size += 1;
  }

  remove(entry: T): void {
    const [left, rest] = split(this.#root, entry.start);
    const [found, right] = split(rest, entry.start + 1n);
    this.#root = merge(left, right);
    if (found !== undefined) this.#size -= 1;
  }

  #next(): number {
    this.#random ^= this.#random << 13;
    this.#random ^= this.#random >>> 17;
    this.#random ^= this.#random << 5;
    return this.#random;
  }
}

/** Those that start before `address`, and the others. */
function split<T extends Interval>(node: Node<T> | undefined, address: bigint): [Node<T> | undefined, Node<T> | undefined] {
  if (node === undefined) return [undefined, undefined];
  if (node.entry.start < address) {
    const [left, right] = split(node.right, address);
    node.right = left;
    return [node, right];
  }
  const [left, right] = split(node.left, address);
  node.left = right;
  return [left, node];
}

function merge<T>(left: Node<T> | undefined, right: Node<T> | undefined): Node<T> | undefined {
  if (left === undefined) return right;
  if (right === undefined) return left;
  if (left.priority > right.priority) {
    left.right = merge(left.right, right);
    return left;
  }
  right.left = merge(left, right.left);
  return right;
}

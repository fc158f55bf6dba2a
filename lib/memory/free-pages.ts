/** Free pages that follow each other, and a node of the tree of all such gaps. */
class Gap {
  start: number;
  count: number;
  /** The most pages that a gap of the subtree has. */
  largest: number;
  readonly priority = Math.floor(Math.random() * 0x4000_0000);
  left: Gap | undefined;
  right: Gap | undefined;

  constructor(start: number, count: number) {
    this.start = start;
    this.count = count;
    this.largest = count;
  }

  get end(): number {
    return this.start + this.count;
  }
}

/** Where pages are wanted: `count` of them, all from `from` on and before `end`, the first a multiple of `alignment`. */
export interface PagesWanted {
  readonly count: number;
  readonly alignment: number;
  readonly from: number;
  readonly end: number;
}

/**
 * The free ones among numbered pages, as gaps in a search tree that knows how large a gap each subtree has: finding the
 * lowest that is large enough, taking and giving cost log n steps. Numbers stay below 2^53.
 *
 * The tree is a treap: by address from left to right, by a random priority from top to bottom, which keeps it flat whatever
 * order things happen in.
 */
export class FreePages {
  #root: Gap | undefined;

  /** All of them free. */
  constructor(count: number) {
    this.#root = new Gap(0, count);
  }

  /** The lowest page from which all that are wanted are free. A gap that is large enough but lies wrong costs one more step. */
  lowest(wanted: PagesWanted): number | undefined {
    return lowest(this.#root, wanted);
  }

  /** Takes pages that are free. */
  take(start: number, count: number): void {
    const gap = this.#upTo(start);
    const end = start + count;
    if (gap === undefined || gap.end < end) throw new RangeError(`Not all pages from ${start} to ${end} are free`);
    const { start: first, end: last } = gap;
    if (first === start && last === end) {
      this.#root = without(this.#root, gap);
      return;
    }
    if (first === start) gap.start = end;
    gap.count = first === start ? last - end : start - first;
    refresh(this.#root, gap.start);
    if (first < start && end < last) this.#root = withGap(this.#root, new Gap(end, last - end));
  }

  /** Frees pages. Some of them, or all, may be free already. */
  give(start: number, count: number): void {
    let gap = this.#upTo(start);
    if (gap === undefined || gap.end < start) {
      gap = new Gap(start, count);
      this.#root = withGap(this.#root, gap);
    }
    let end = Math.max(gap.end, start + count);
    // What it reaches now is one gap with it.
    for (let next = this.#after(gap.start); next !== undefined && next.start <= end; next = this.#after(gap.start)) {
      end = Math.max(end, next.end);
      this.#root = without(this.#root, next);
    }
    gap.count = end - gap.start;
    refresh(this.#root, gap.start);
  }

  /** The last gap that starts there or before. */
  #upTo(page: number): Gap | undefined {
    let found: Gap | undefined;
    for (let gap = this.#root; gap !== undefined; ) {
      if (gap.start <= page) found = gap;
      gap = gap.start <= page ? gap.right : gap.left;
    }
    return found;
  }

  /** The first gap that starts behind it. */
  #after(page: number): Gap | undefined {
    let found: Gap | undefined;
    for (let gap = this.#root; gap !== undefined; ) {
      if (gap.start > page) found = gap;
      gap = gap.start > page ? gap.left : gap.right;
    }
    return found;
  }
}

function lowest(gap: Gap | undefined, wanted: PagesWanted): number | undefined {
  const { count, alignment, from, end } = wanted;
  if (gap === undefined || gap.largest < count) return undefined;
  // Left of a gap that begins by then, everything ends before.
  const before = gap.start > from ? lowest(gap.left, wanted) : undefined;
  if (before !== undefined) return before;
  const place = Math.ceil(Math.max(gap.start, from) / alignment) * alignment;
  if (place + count <= gap.end) return place + count <= end ? place : undefined;
  return gap.start < end ? lowest(gap.right, wanted) : undefined;
}

function update(gap: Gap): Gap {
  gap.largest = Math.max(gap.count, gap.left?.largest ?? 0, gap.right?.largest ?? 0);
  return gap;
}

/** Has every node on the way to a gap know that it changed. */
function refresh(root: Gap | undefined, start: number): void {
  if (root === undefined) return;
  if (start !== root.start) refresh(start < root.start ? root.left : root.right, start);
  update(root);
}

function withGap(root: Gap | undefined, gap: Gap): Gap {
  if (root === undefined) return gap;
  if (gap.priority > root.priority) {
    [gap.left, gap.right] = split(root, gap.start);
    return update(gap);
  }
  if (gap.start < root.start) root.left = withGap(root.left, gap);
  else root.right = withGap(root.right, gap);
  return update(root);
}

function without(root: Gap | undefined, gap: Gap): Gap | undefined {
  if (root === undefined) return undefined;
  if (root === gap) return join(gap.left, gap.right);
  if (gap.start < root.start) root.left = without(root.left, gap);
  else root.right = without(root.right, gap);
  return update(root);
}

/** What is before the page, and what is behind. */
function split(root: Gap | undefined, page: number): [before: Gap | undefined, behind: Gap | undefined] {
  if (root === undefined) return [undefined, undefined];
  if (root.start < page) {
    const [before, behind] = split(root.right, page);
    root.right = before;
    return [update(root), behind];
  }
  const [before, behind] = split(root.left, page);
  root.left = behind;
  return [before, update(root)];
}

/** One tree of two, the first all before the second. */
function join(before: Gap | undefined, behind: Gap | undefined): Gap | undefined {
  if (before === undefined) return behind;
  if (behind === undefined) return before;
  if (before.priority > behind.priority) {
    before.right = join(before.right, behind);
    return update(before);
  }
  behind.left = join(before, behind.left);
  return update(behind);
}

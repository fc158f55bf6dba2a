import { describe, expect, it } from 'vitest';
import { finishAll, Resource, together } from '../../lib/kernel/resource.js';

class Part extends Resource {
  readonly #closed: string[];
  readonly #failure: Error | undefined;
  constructor(label: string, closed: string[], owner?: Resource, failure?: Error) {
    super(label, owner);
    this.#closed = closed;
    this.#failure = failure;
  }
  protected override release(): void {
    this.#closed.push(this.label);
    if (this.#failure !== undefined) throw this.#failure;
  }
}

describe('Resource', () => {
  it('closes what it owns first, newest first, once', () => {
    const closed: string[] = [];
    const root = new Part('root', closed);
    const first = new Part('first', closed, root);
    new Part('leaf', closed, first);
    new Part('second', closed, root);
    root.close();
    root.close();
    first.close();
    expect(closed).toEqual(['second', 'leaf', 'first', 'root']);
  });

  it('a part may be closed alone', () => {
    const closed: string[] = [];
    const root = new Part('root', closed);
    new Part('part', closed, root).close();
    root.close();
    expect(closed).toEqual(['part', 'root']);
  });

  it('finishes closing when a part fails, then throws the first failure with the others as cause', () => {
    const closed: string[] = [];
    const [one, two] = [new Error('one'), new Error('two')];
    const root = new Part('root', closed, undefined, two);
    new Part('a', closed, root);
    new Part('b', closed, root, one);
    expect(() => root.close()).toThrow(one);
    expect(one.cause).toEqual([two]);
    expect(closed).toEqual(['b', 'a', 'root']);
    expect(root.closed).toBe(true);
  });

  it('takes no new part when closed', () => {
    const root = new Part('root', []);
    root.close();
    expect(() => new Part('late', [], root)).toThrow('root is closed');
  });

  it('using closes it', () => {
    const closed: string[] = [];
    {
      using part = new Part('part', closed);
      expect(part.closed).toBe(false);
    }
    expect(closed).toEqual(['part']);
  });
});

describe('together', () => {
  it('undoes what was opened when a later step fails, newest first', () => {
    const closed: string[] = [];
    expect(() =>
      together((undo) => {
        undo(new Part('a', closed));
        undo(new Part('b', closed));
        throw new Error('step three');
      }),
    ).toThrow('step three');
    expect(closed).toEqual(['b', 'a']);
  });

  it('hands over on success', () => {
    const closed: string[] = [];
    const part = together((undo) => undo(new Part('a', closed)));
    expect([part.closed, closed]).toEqual([false, []]);
  });

  it('reports what undoing could not do as the cause', () => {
    const failure = new Error('stuck');
    const error = new Error('step');
    expect(() =>
      together((undo) => {
        undo(new Part('a', [], undefined, failure));
        throw error;
      }),
    ).toThrow(error);
    expect(error.cause).toBe(failure);
  });
});

describe('finishAll', () => {
  it('does nothing where nothing fails', () => expect(() => finishAll([() => {}, () => {}])).not.toThrow());
});

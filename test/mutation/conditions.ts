/** The conditions of the mutated kernel: what each answered since it was last asked to forget, and the one that answers otherwise. */

/** By the mutants' ids: '12:true' is that condition 12 is true whatever it would answer. */
export class Conditions {
  /** The mutant that is tried now. */
  active: string | undefined;
  #number: number | undefined;
  #replacement = false;
  /** How many steps the kernel took as it is: conditions, and turns of loops. */
  #steps = 0;
  /** How many it may take with a mutant: where there is an end, there are less. */
  #left = 0;
  readonly #seen = new Map<number, Set<unknown>>();

  forget(): void {
    this.#seen.clear();
    this.#steps = 0;
  }

  /** The mutants that would have answered otherwise than the condition did, at least once. */
  get noticeable(): string[] {
    return [...this.#seen].flatMap(([number, answers]) =>
      [true, false].filter((replacement) => [...answers].some((answer) => answer !== replacement)).map((each) => `${number}:${each}`),
    );
  }

  /** With undefined, all answer as they are written. */
  activate(mutant: string | undefined): void {
    const [number = '', replacement] = mutant?.split(':') ?? [];
    this.active = mutant;
    this.#number = mutant === undefined ? undefined : Number(number);
    this.#replacement = replacement === 'true';
    this.#left = 100_000 + 10 * this.#steps;
  }

  answer(number: number, original: () => unknown): unknown {
    this.step();
    if (this.#number === number) return this.#replacement;
    const answer = original();
    if (this.#number === undefined) this.#see(number, answer);
    return answer;
  }

  step(): void {
    if (this.#number === undefined) this.#steps += 1;
    else if ((this.#left -= 1) < 0) throw new Error('The kernel took ten times as many steps as without the mutant: there is no end');
  }

  #see(number: number, answer: unknown): void {
    const answers = this.#seen.get(number) ?? new Set();
    this.#seen.set(number, answers);
    // Those that are neither true nor false are each as good as another.
    if (answers.size < 4) answers.add(answer);
  }
}

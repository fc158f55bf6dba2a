/** The conditions of the mutated kernel: what each answered since it was last asked to forget, and the one that answers otherwise. */

/** By the mutants' ids: '12:true' is that condition 12 is true whatever it would answer. */
export class Conditions {
  /** The mutant that is tried now. */
  active: string | undefined;
  #number: number | undefined;
  #replacement = false;
  /** How often the mutant may be asked, and all conditions, with the turns of loops: where there is an end, there are less. */
  #left = 0;
  #allLeft = 0;
  #times = 0;
  readonly #seen = new Map<number, { times: number; readonly answers: Set<unknown> }>();

  forget(): void {
    this.#seen.clear();
    this.#times = 0;
  }

  /** The mutants that would have answered otherwise than the condition did, at least once. */
  get noticeable(): string[] {
    return [...this.#seen].flatMap(([number, { answers }]) =>
      [true, false].filter((replacement) => [...answers].some((answer) => answer !== replacement)).map((each) => `${number}:${each}`),
    );
  }

  /** With undefined, all answer as they are written. */
  activate(mutant: string | undefined): void {
    const [number = '', replacement] = mutant?.split(':') ?? [];
    this.active = mutant;
    this.#number = mutant === undefined ? undefined : Number(number);
    this.#replacement = replacement === 'true';
    this.#left = mutant === undefined ? 0 : 1000 + 100 * (this.#seen.get(Number(number))?.times ?? 0);
    this.#allLeft = 100_000 + 10 * this.#times;
  }

  answer(number: number, original: () => unknown): unknown {
    if (this.#number === undefined) {
      const answer = original();
      this.turn();
      const seen = this.#seen.get(number);
      if (seen === undefined) this.#seen.set(number, { times: 1, answers: new Set([answer]) });
      else {
        seen.times += 1;
        if (seen.answers.size < 4) seen.answers.add(answer);
      }
      return answer;
    }
    this.turn();
    if (number !== this.#number) return original();
    this.#left -= 1;
    if (this.#left < 0) throw new Error(`Condition ${number} was asked a hundred times as often as without the mutant: there is no end`);
    return this.#replacement;
  }

  /** Another step of the kernel: a turn of a loop, or a condition. */
  turn(): void {
    if (this.#number === undefined) {
      this.#times += 1;
      return;
    }
    this.#allLeft -= 1;
    if (this.#allLeft < 0) throw new Error('The kernel took ten times as many steps as without the mutant: there is no end');
  }
}

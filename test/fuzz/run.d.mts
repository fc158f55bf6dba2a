/** What a function of the addon was called with, and how often it answered what. */
export interface Counts {
  readonly calls: number;
  readonly results: number;
  /** -errno. */
  readonly errors: number;
  /** Exceptions that say what is wrong with an argument, and accesses that the bus refused. */
  readonly refused: number;
}

export interface RunCounts {
  readonly functions: Readonly<Record<string, Counts>>;
  readonly callbacks: number;
  readonly threads: number;
}

export function run(options: { addonPath: string; seed: number; calls: number; device?: string }): {
  counts?: RunCounts;
  finding?: string;
};

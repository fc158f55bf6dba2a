/** What a real kernel was asked in a suite and what it answered, as a readable file that the simulated one is held to. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { trace } from '../../lib/kernel/trace.js';
import { Names, say, type Said } from './call-words.js';
import { goldenFolder, recorded, recordingFolder } from './golden.js';
import type { Subject, Variant } from './subject.js';

/** Of a test that says more than this, the rest is only a digest. */
const mostLines = 150;

/** Tests whose calls are not the same from run to run, or not the kernel's doing. */
const leftOut: readonly (readonly [title: RegExp, reason: string])[] = [];

export class Transcript {
  readonly #variant: Variant;
  readonly #suite: string;
  readonly #sections = new Map<string, { readonly keys: Set<string>; readonly lines: string[] }>();

  constructor(variant: Variant, suite: string) {
    this.#variant = variant;
    this.#suite = suite;
  }

  /** The variant, with kernels that are listened to. */
  get variant(): Variant {
    const make = (): Subject => {
      const subject = this.#variant.make();
      const kernel = this.#listen(subject.kernel);
      return Object.create(subject, { kernel: { value: kernel } }) as Subject;
    };
    return { ...this.#variant, make };
  }

  #listen(kernel: Kernel): Kernel {
    const names = new Names();
    const traced = trace(kernel, (call) => {
      const said = say(call, names);
      if (said !== undefined) this.#add(said);
    });
    return {
      ...traced,
      addressOf: (memory) => {
        const start = kernel.addressOf(memory);
        names.area(start, memory.byteLength);
        return start;
      },
    };
  }

  #add({ key, words }: Said): void {
    const title = (expect.getState().currentTestName ?? '').split(' > ').slice(1).join(' > ');
    if (leftOut.some(([pattern]) => pattern.test(title))) return;
    const section = this.#sections.get(title) ?? { keys: new Set(), lines: [] };
    this.#sections.set(title, section);
    if (section.keys.has(key)) return;
    section.keys.add(key);
    if (section.lines.length < mostLines) section.lines.push(words());
  }

  /** Each test's calls, each call once. */
  #texts(): Map<string, string> {
    return new Map(
      [...this.#sections].map(([title, { keys, lines }]) => {
        const rest = [...keys].slice(mostLines);
        const digest = createHash('sha256').update(rest.join('\n')).digest('hex').slice(0, 16);
        return [title, [...lines, ...(rest.length > 0 ? [`and ${rest.length} others, ${digest}`] : [])].join('\n')];
      }),
    );
  }

  /** To be called at the suite's end: a test that the answers were the real kernel's, where those are recorded. */
  hold(): void {
    const { iommu, version } = this.#variant.make();
    const suffix = `${iommu}${this.#variant.container === 'iommufd' ? '-iommufd' : ''}`;
    const folder = recordingFolder(this.#variant);
    if (folder !== undefined) {
      it('is recorded', () => {
        const file = join(folder, version, 'transcripts', `${this.#suite}-${suffix}.txt`);
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, [...this.#texts()].map(([title, text]) => `# ${title}\n${text}\n`).join('\n'));
      });
      return;
    }
    const golden = [`${this.#suite}-${suffix}.txt`, ...(this.#variant.container === 'vfio' ? [`${this.#suite}.txt`] : [])]
      .map((name) => join(goldenFolder, recorded(version), 'transcripts', name))
      .find((file) => existsSync(file));
    if (golden === undefined) return;
    it('answers call by call as recorded', () => {
      const known = new Map(
        readFileSync(golden, 'utf8')
          .split(/^# /m)
          .slice(1)
          .map((section): [string, string] => {
            const [title = '', ...lines] = section.trimEnd().split('\n');
            return [title, lines.join('\n')];
          }),
      );
      const ours = this.#texts();
      // A test that is newer than the record is held to it from the next recording on.
      for (const title of ours.keys()) if (!known.has(title)) ours.delete(title);
      const text = (sections: ReadonlyMap<string, string>): string =>
        [...ours.keys()].map((title) => `# ${title}\n${sections.get(title)}\n`).join('\n');
      expect(text(ours)).toBe(text(known));
    });
  }
}

/** What a real kernel was asked in a suite and what it answered, as a readable file that the simulated one is held to. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { trace } from '../../lib/kernel/trace.js';
import { Names, say, type Said } from './call-words.js';
import { recorded, recordingFolder } from './golden.js';
import { goldenFolder } from './root.js';
import type { Subject, Variant } from './subject.js';

/** Of a test that says more than this, the rest is only a digest. */
const mostLines = 150;

/** Tests whose calls are not the same from run to run, or not the kernel's doing. */
const leftOut: readonly (readonly [title: RegExp, reason: string])[] = [];

export class Transcript {
  readonly #variant: Variant;
  /** The file to write, where answers are to be recorded. */
  readonly #recording: string | undefined;
  /** The file that was recorded, which a simulated kernel is held to. */
  readonly #golden: string | undefined;
  readonly #sections = new Map<string, { readonly keys: Set<string>; readonly lines: string[] }>();

  constructor(variant: Variant, suite: string) {
    this.#variant = variant;
    const { iommu, version } = variant.make();
    const file = `${suite}-${iommu}${variant.container === 'iommufd' ? '-iommufd' : ''}.txt`;
    const folder = recordingFolder(variant);
    this.#recording = folder === undefined ? undefined : join(folder, version, 'transcripts', file);
    // What the real kernel answers is what its own tests say; the record is for where there is none.
    if (variant.real) return;
    this.#golden = [file, ...(variant.container === 'vfio' ? [`${suite}.txt`] : [])]
      .map((name) => join(goldenFolder, recorded(version), 'transcripts', name))
      .find((candidate) => existsSync(candidate));
  }

  /** The variant, with kernels that are listened to if it is for something. */
  get variant(): Variant {
    if (this.#recording === undefined && this.#golden === undefined) return this.#variant;
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
    const [file, golden] = [this.#recording, this.#golden];
    if (file !== undefined) {
      it('is recorded', () => {
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, [...this.#texts()].map(([title, text]) => `# ${title}\n${text}\n`).join('\n'));
      });
      return;
    }
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

/** A suite whose calls are recorded, or held to what was. */
export function transcribed(variant: Variant, name: string, suite: (variant: Variant) => void): void {
  const transcript = new Transcript(variant, name);
  suite(transcript.variant);
  transcript.hold();
}

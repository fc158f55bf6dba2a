/** What was counted and said in a part of the lab's tests: parts run at the same time, and each is printed whole. */
import { existsSync, readFileSync } from 'node:fs';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly { readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[] }[];
}

export class Tally {
  passed = 0;
  failed = 0;
  readonly skipped: string[] = [];
  #text = '';

  /** What was said, and not taken yet. */
  take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }

  /** As a program printed it. */
  print(text: string): void {
    this.#text += text;
  }

  say(line: string): void {
    this.print(`${line}\n`);
  }

  count(name: string, ok: boolean): void {
    this.say(`${ok ? 'passed' : 'FAILED'}: ${name}`);
    if (ok) this.passed += 1;
    else this.failed += 1;
  }

  /** Adds a vitest report. One that is missing or empty is a failure: the tests did not run. */
  addReport(name: string, file: string, status: number | null): void {
    if (!existsSync(file)) return this.count(`${name}: no tests ran (status ${status})`, false);
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
    this.passed += report.numPassedTests;
    this.failed += report.numFailedTests;
    this.skipped.push(
      ...report.testResults
        .flatMap((result) => result.assertionResults)
        .filter((test) => test.status !== 'passed' && test.status !== 'failed')
        .map((test) => test.fullName),
    );
    this.say(`${name}: ${report.numPassedTests} passed, ${report.numFailedTests} failed`);
    if (report.numPassedTests + report.numFailedTests === 0 || (status !== 0 && report.numFailedTests === 0))
      this.count(`${name}: ended with status ${status}`, false);
  }

  /** Adds another's counts. */
  add({ passed, failed, skipped }: Tally): void {
    this.passed += passed;
    this.failed += failed;
    this.skipped.push(...skipped);
  }
}

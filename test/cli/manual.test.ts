/** The help of all commands, and the manual page made of it. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { VfioCommand } from '../../lib/cli/command.js';
import { manualPage } from '../../lib/cli/manual.js';
import { makeProgram } from '../../lib/cli/program.js';
import { root } from '../support/root.js';
import { vfio } from './support.js';

const commands = makeProgram('0.0.0').commands as readonly VfioCommand[];

/** The words of an example, as a shell would have them, as far as they are for vfio. */
function wordsOf(line: string): string[] {
  const [own = ''] = line.split(/ [|>] /);
  return [...own.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, plain]) => single ?? double ?? plain ?? '');
}

describe.each(commands.map((command) => [command.name(), command] as const))('vfio %s', (name, command) => {
  it('says what it does, and all its options and arguments', () => {
    expect(command.summary()).not.toBe('');
    expect(command.description()).not.toBe('');
    for (const option of command.options) expect([option.flags, option.description]).toEqual([option.flags, expect.stringMatching(/\w/)]);
    for (const argument of command.registeredArguments)
      expect([argument.name(), argument.description]).toEqual([argument.name(), expect.stringMatching(/\w/)]);
  });

  it('has examples, which can be typed as they are', async () => {
    expect(command.examples.length).toBeGreaterThanOrEqual(2);
    const { status, out } = await vfio([name, '--help']);
    expect(status).toBe(0);
    for (const [line, meaning] of command.examples) {
      expect(out).toContain(`  ${line}\n      ${meaning}`);
      if (!line.startsWith('vfio ')) continue;
      const program = makeProgram('0.0.0');
      const ran: string[] = [];
      for (const each of [program, ...program.commands]) each.exitOverride().configureOutput({ writeErr: () => undefined });
      for (const each of program.commands) each.action(() => void ran.push(each.name()));
      await program.parseAsync(wordsOf(line).slice(1), { from: 'user' });
      expect([line, ran]).toEqual([line, [name]]);
    }
  });
});

describe('the manual page', () => {
  const page = manualPage(makeProgram('0.0.0'));

  it('is the one in man/: npm run manual makes it anew', () => {
    expect(readFileSync(join(root, 'man/vfio.1'), 'utf8')).toBe(`${page}\n`);
  });

  it('is what vfio manual prints', async () => {
    expect((await vfio(['manual'])).out).toBe(`${page}\n`);
  });

  it('tells of every command that is shown, with its options and examples', () => {
    const plain = page.replaceAll('\\-', '-').replaceAll('\\(aq', "'").replaceAll('\\(ti', '~').replaceAll('\\e', '\\');
    for (const command of commands.filter((each) => each.name() !== 'complete')) {
      expect(plain).toContain(`\n.SS "${command.name()} `);
      for (const { flags } of command.options) expect(plain).toContain(`\\fB${flags}\\fR`);
      for (const [line] of command.examples) expect(plain).toContain(`\n${line}\n`);
    }
    expect(plain).not.toContain('.SS "complete ');
  });

  const groff = spawnSync('groff', ['--version']).status === 0;
  it.skipIf(!groff)('is well-formed', () => {
    const { status, stderr } = spawnSync('groff', ['-man', '-ww', '-z'], { input: page, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  });
});

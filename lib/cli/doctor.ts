import { areas, checkIds, diagnose, type Diagnosis } from '../diagnosis/diagnose.js';
import type { Finding, Severity } from '../diagnosis/finding.js';
import type { Looked } from '../diagnosis/scene.js';
import { matter, type MatterId } from '../kernel/matters.js';
import { parseAddress } from '../pci/address.js';
import { columns } from './columns.js';
import type { DoctorOptions } from './commands/doctor.js';
import type { Context } from './context.js';
import { failed, Misuse, ok } from './exit.js';
import type { Paint } from './paint.js';

/** Of the form of what --json prints; another form gets another number. */
const version = 1;

export async function doctor(context: Context, asked: string | undefined, options: DoctorOptions): Promise<number> {
  if (options.list === true) {
    listChecks(context);
    return ok;
  }
  const checks = options.check?.map(checkId);
  const address = asked === undefined ? undefined : parseAddress(asked);
  const diagnosis = diagnose(await lookedAt(context, checks), { address, checks });
  context.result({ version, ...diagnosis }, () => describe(diagnosis, context.paint));
  const bad: readonly Severity[] = options.strict === true ? ['failure', 'warning'] : ['failure'];
  return diagnosis.findings.some(({ severity }) => bad.includes(severity)) ? failed : ok;
}

function listChecks(context: Context): void {
  const rows = Object.entries(areas).flatMap(([area, checks]) =>
    Object.keys(checks).map((id) => ({ check: id, area, finding: matter(id as MatterId).finding })),
  );
  context.result(rows, () => columns(rows.map(({ check, area, finding }) => [check, area, finding])));
}

function checkId(text: string): MatterId {
  const id = checkIds.find((each) => each === text);
  if (id === undefined) throw new Misuse(`Expected the name of a check for --check but received '${text}'; --list names them`);
  return id;
}

/** The kernel's log takes the addon, which may not be built: all else does without. */
async function lookedAt(context: Context, checks: readonly MatterId[] | undefined): Promise<Looked> {
  const files = await context.files();
  if (checks?.includes('dma-faults') === false) return { files };
  try {
    return await context.kernel();
  } catch (error) {
    if (context.simulated !== undefined) throw error;
    return { files };
  }
}

const marks = { failure: ['bad', 'FAILED'], warning: ['doubtful', 'WARNING'], note: ['name', 'NOTE'] } as const;

function describe({ checked, skipped, findings }: Diagnosis, paint: Paint): string {
  const blocks = findings.map((finding) => describeFinding(finding, paint));
  const left = skipped.map(({ check, why }) => `${paint('faint', 'SKIPPED')} ${check}: ${why}`);
  const count = (severity: Severity, one: string): string[] => {
    const number = findings.filter((finding) => finding.severity === severity).length;
    return number === 0 ? [] : [`${number} ${one}${number === 1 ? '' : 's'}`];
  };
  const counts = [...count('failure', 'failure'), ...count('warning', 'warning'), ...count('note', 'note')].join(', ');
  const summary = `${checked.length} check${checked.length === 1 ? '' : 's'}, ${counts || paint('good', 'nothing found')}`;
  const last = [...left, summary + (skipped.length === 0 ? '' : `, ${skipped.length} skipped`)].join('\n');
  return [...blocks, last].join('\n\n');
}

function describeFinding({ check, severity, device, finding, why, evidence, fix }: Finding, paint: Paint): string {
  const [style, word] = marks[severity];
  return [
    `${paint(style, word)} ${paint('strong', check)}${device === undefined ? '' : ` ${device}`}: ${finding}`,
    `  ${why}`,
    ...evidence.map(({ file, value }) => `  ${paint('faint', `${file} = ${value}`)}`),
    ...fix.map((command) => `  ${command.startsWith('#') ? paint('faint', command) : `$ ${command}`}`),
  ].join('\n');
}

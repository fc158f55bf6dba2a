/** Writes the reports of the public surface anew: the difference is what to review. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reports, reportsFolder } from './report.js';

const texts = await reports();
rmSync(reportsFolder, { recursive: true, force: true });
mkdirSync(reportsFolder);
for (const [file, text] of texts) writeFileSync(join(reportsFolder, file), text);

/** Loaded before a program that `vfio trace` or `vfio replay` runs, in each of its processes and threads. */
import { setInstrument } from '../../kernel/instrument.js';
import { settingsVariable, type Settings } from './settings.js';

const text = process.env[settingsVariable];
if (text !== undefined) {
  const settings = JSON.parse(text) as Settings;
  // What is asked for a kernel later has no time to load anything.
  if (settings.mode === 'replay') setInstrument((await import('./replaying.js')).replaying(settings));
  else setInstrument(await (await import('./tracing.js')).tracing(settings));
}

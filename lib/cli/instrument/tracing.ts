import { openSync, readFileSync, writeSync } from 'node:fs';
import { isMainThread, threadId } from 'node:worker_threads';
import type { Instrument } from '../../kernel/instrument.js';
import type { Files, Kernel } from '../../kernel/kernel.js';
import { record } from '../../kernel/recording/record.js';
import { trace, type TracedCall } from '../../kernel/trace.js';
import { traceRegisters, type TracedAccess } from '../../kernel/trace-registers.js';
import { programHere, takeNextPart } from './parts.js';
import type { TraceSettings } from './settings.js';

/** The kernel, or the simulated machine's, whose calls are shown and recorded. */
export async function tracing(settings: TraceSettings): Promise<Instrument> {
  const { sim } = settings;
  const parseMachine = sim === undefined ? undefined : (await import('../../sim/machine-description.js')).parseMachine;
  return (real) => {
    const part = takeNextPart(settings.folder);
    const kernel = parseMachine === undefined ? real() : parseMachine(readFileSync(sim!, 'utf8')).kernel;
    // The recorder is outside: a trace makes single calls of several, and what is replayed is what the program asked for.
    return recorded(settings.quiet ? kernel : shown(kernel, settings, part), settings, part, kernel.files);
  };
}

function recorded(kernel: Kernel, { out }: TraceSettings, part: number, files: Files): Kernel {
  if (out === undefined) return kernel;
  const file = openSync(out, 'a');
  // Each line is whole in the file before the program goes on: whatever ends it.
  const write = (line: string): void => void writeSync(file, part === 1 ? line : `{"by":${part},${line.slice(1)}`);
  return record(kernel, write, { program: programHere(), thread: threadId, files, clocks: true });
}

function shown(kernel: Kernel, settings: TraceSettings, part: number): Kernel {
  const { only, json, registers, start } = settings;
  const wanted = only && new Set(only);
  const thread = isMainThread ? `${process.pid}` : `${process.pid}/${threadId}`;
  const show = (call: TracedCall | TracedAccess): void => {
    const request = 'request' in call ? call.request?.name : undefined;
    if (wanted !== undefined && !wanted.has(call.name) && !(request !== undefined && wanted.has(request))) return;
    const at = performance.timeOrigin + call.began - start;
    writeSync(2, `${json ? JSON.stringify(plainCall(call, at, thread)) : line(call, at, part === 1 ? '' : `[${thread}] `)}\n`);
  };
  return registers ? traceRegisters(trace(kernel, show), show) : trace(kernel, show);
}

/** Seconds since the start, the call, and the seconds that it took. */
function line({ text, milliseconds }: TracedCall | TracedAccess, at: number, thread: string): string {
  return `${thread}${seconds(at).padStart(10)} ${text} <${seconds(milliseconds)}>`;
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(6);
}

/** The call for programs: what it was given and what came back, as texts where JSON has nothing better. */
function plainCall(call: TracedCall | TracedAccess, at: number, thread: string): object {
  const { name, fd, result, milliseconds, text } = call;
  const told = 'text' in call && 'region' in call ? { region: call.region, offset: call.offset } : callFields(call as TracedCall);
  const answer = typeof result === 'bigint' ? `0x${result.toString(16)}` : result;
  return { seconds: at / 1000, took: milliseconds / 1000, thread, name, fd, ...told, result: answer, text };
}

function callFields({ kind, path, request, number, before, after, offset, size, flags }: TracedCall): object {
  return { kind, path, request: request?.name, number, before: hex(before), after: hex(after), offset, size, flags };
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString('hex');
}

import type { Declaration } from './declaration.js';

/** What is known of capabilities, by id. */
export const capabilities: ReadonlyMap<number, Declaration> = new Map();
export const extendedCapabilities: ReadonlyMap<number, Declaration> = new Map();

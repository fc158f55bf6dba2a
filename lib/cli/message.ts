/** What an error says; whatever was thrown may be no error. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

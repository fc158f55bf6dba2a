/**
 * Does something, and something else beside it that ends by its signal when that is done. An error of either ends both; the
 * error is thrown when both have ended.
 */
export async function meanwhile<T>(beside: ((end: AbortSignal) => Promise<unknown>) | undefined, something: () => Promise<T>): Promise<T> {
  const end = new AbortController();
  const other = beside?.(end.signal);
  // What goes wrong beside it is thrown in its turn; until then nobody looks.
  other?.catch(() => {});
  try {
    return await something();
  } finally {
    end.abort();
    await other;
  }
}

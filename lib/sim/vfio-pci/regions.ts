/** Region INDEX begins at `INDEX << 40` of the device fd. */
export const regionSpan = 2 ** 40;

export function locate(offset: number): { index: number; at: number } {
  return { index: Math.floor(offset / regionSpan), at: offset % regionSpan };
}

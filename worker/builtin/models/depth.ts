/**
 * Returns whether a value nests objects or lists deeper than `levels`. JSON parses at any depth, but serializes only as deep as the stack
 * allows.
 */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isDeeper(part, levels - 1));
}

/** Whether a value has objects or lists nested deeper than `levels`. JSON is parsed to any depth, and written only as deep as the stack is. */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isDeeper(part, levels - 1));
}

/** About how many allowed writes the audit keeps. */
export const MAX_AUDIT_ENTRIES = 10_000;
const MAX_TEXT_LENGTH = 500;

/** Cuts a text of an audit entry. */
export function auditText<Text extends string | null>(text: Text): Text {
  return (text !== null && text.length > MAX_TEXT_LENGTH ? `${text.slice(0, MAX_TEXT_LENGTH)}…` : text) as Text;
}

/** Returns the fields and values of an entry in the audit's stream; `at` in ms. */
export function auditWords(at: number, fields: Readonly<Record<string, string | null>>): string[] {
  return Object.entries({ at: String(at), ...fields }).flatMap(([name, value]) => [
    name,
    name === 'item' ? (value ?? '') : auditText(value ?? ''),
  ]);
}

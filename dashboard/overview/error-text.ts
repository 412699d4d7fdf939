const MAX_CHARACTERS = 200;
const HEX_ID = /\b(?=[0-9a-f-]*\d)[0-9a-f]{8}[0-9a-f-]*\b/gi;

/** Returns the first line of an error, without control characters and cut to 200 characters. */
export function firstLine(error: string): string {
  const line = (/\S.*/.exec(error)?.[0] ?? '').replaceAll(/[\s\p{Cc}]+/gu, ' ').trim();
  return line.length > MAX_CHARACTERS ? `${line.slice(0, MAX_CHARACTERS)}…` : line;
}

/** Returns a text that errors of one kind share: ids and numbers become `N`. */
export function normaliseError(error: string): string {
  return firstLine(error.replaceAll(HEX_ID, 'N').replaceAll(/\d+/g, 'N'));
}

/** Stands for a secret in an input that the API shows. */
export const CENSORED = '***';

/** Parses an input. @throws Error that says what to do */
export function readInput(text: string, censored: readonly string[]): unknown {
  const value = parse(text);
  if (censored.length > 0 && text.includes(`"${CENSORED}"`))
    throw new Error(`Replace each "${CENSORED}" by the secret: ${censored.join(', ')}.`);
  return value;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Error(`The input is not JSON: ${error instanceof Error ? error.message : ''}`, { cause: error });
  }
}

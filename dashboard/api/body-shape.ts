/** Maximum nesting of objects and arrays. */
const MAX_DEPTH = 100;
/** Maximum members and elements in total: they take some tens of ms to parse, check and write. */
const MAX_VALUES = 100_000;
/** Maximum members of one object: beyond that, engines switch to a slower representation. */
const MAX_MEMBERS = 10_000;

const [QUOTE, BACKSLASH, COMMA, COLON, OPEN_LIST, CLOSE_LIST, OPEN, CLOSE] = [0x22, 0x5c, 0x2c, 0x3a, 0x5b, 0x5d, 0x7b, 0x7d] as const;

/**
 * Returns which limit a JSON text exceeds, or null. Checked before parsing: a body within its byte limit could still block the event
 * loop for a second. Ignores syntax errors.
 */
export function problemOfShape(text: string): string | null {
  /** Member counts of the open objects and arrays, outermost first. */
  const members: number[] = [];
  let values = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at + 1);
        break;
      case OPEN:
      case OPEN_LIST:
        if (members.push(0) > MAX_DEPTH) return `expected at most ${MAX_DEPTH} levels of objects and arrays`;
        values += 1;
        break;
      case CLOSE:
      case CLOSE_LIST:
        members.pop();
        break;
      case COLON:
        if (count(members) > MAX_MEMBERS) return `expected at most ${MAX_MEMBERS} fields in one object`;
        break;
      case COMMA:
        values += 1;
        break;
    }
    if (values > MAX_VALUES) return `expected at most ${MAX_VALUES} values`;
  }
  return null;
}

function count(members: number[]): number {
  const last = members.length - 1;
  return last < 0 ? 0 : (members[last] = (members[last] as number) + 1);
}

/** Returns the end of the string that starts before `from`. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return text.length;
}

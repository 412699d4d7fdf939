/** Levels of objects and arrays. */
const MAX_DEPTH = 100;
/** Members and elements in all: so many take some tens of ms to parse, check and write. */
const MAX_VALUES = 100_000;
/** Members of one object: with more, engines keep it in a slower form. */
const MAX_MEMBERS = 10_000;

const [QUOTE, BACKSLASH, COMMA, COLON, OPEN_LIST, CLOSE_LIST, OPEN, CLOSE] = [0x22, 0x5c, 0x2c, 0x3a, 0x5b, 0x5d, 0x7b, 0x7d] as const;

/**
 * What a JSON text has too much of, or null: it is looked at before it is parsed, for a body within its limit of bytes can still hold up
 * every other request for a second. Says nothing of a text that is no JSON.
 */
export function problemOfShape(text: string): string | null {
  /** Of the objects and arrays that are open, the outermost first. */
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

/** Where the string that begins before `from` ends. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return text.length;
}

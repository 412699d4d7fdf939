import { randomFillSync } from 'node:crypto';
import { V7Generator } from 'uuidv7';

/** Random words per call of the system: the generator's own source fetches eight, which costs as much as the rest of an id. */
const words = new Uint32Array(512);
let used = words.length;

function nextUint32(): number {
  if (used === words.length) {
    randomFillSync(words);
    used = 0;
  }
  const word = words[used] as number;
  used += 1;
  return word;
}

const generator = new V7Generator({ nextUint32 });

/** Generates the id of a task: a UUIDv7. Ids of this process are in their order. */
export function newTaskId(): string {
  return generator.generate().toString();
}

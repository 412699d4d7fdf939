const OPENINGS = [
  'Let us look at',
  'Everyone who has worked with',
  'The short answer is about',
  'Consider for a moment',
  'A good place to begin is',
];
const VERBS = ['depends on', 'grows out of', 'has to wait for', 'is easier than', 'says little about', 'makes room for', 'returns to'];
const PLACES = ['in practice', 'on most days', 'from the first step', 'without much noise', 'after a while', 'and nobody minds'];
const FALLBACK_WORDS = ['the question', 'the silence', 'an empty page'];

/**
 * Prose about a prompt, one token (a word with the space before it) at a time, without end. The same prompt gives the
 * same text on every machine: template sentences, filled with the prompt's longer words.
 */
export function* completionTokens(prompt: string): Generator<string, never, void> {
  const random = randomFrom(prompt);
  const words = subjectsOf(prompt);
  const pick = (list: readonly string[]): string => list[Math.floor(random() * list.length)] as string;
  let separator = '';
  for (;;) {
    const sentence = `${pick(OPENINGS)} ${pick(words)}: ${pick(words)} ${pick(VERBS)} ${pick(words)} ${pick(PLACES)}.`;
    for (const word of sentence.split(' ')) {
      yield `${separator}${word}`;
      separator = ' ';
    }
  }
}

/** The prompt's words of four letters or more, each once, at most 50; some of ours if it has none. */
function subjectsOf(prompt: string): readonly string[] {
  const words = new Set(Array.from(prompt.matchAll(/\p{L}{4,}/gu), ([word]) => word.toLowerCase()));
  return words.size > 0 ? [...words].slice(0, 50) : FALLBACK_WORDS;
}

/** Numbers from 0 to 1 that depend on the seed alone: a linear congruential generator (constants of Numerical Recipes). */
function randomFrom(seed: string): () => number {
  let state = 0;
  for (let at = 0; at < seed.length; at += 1) state = (Math.imul(state, 31) + seed.charCodeAt(at)) >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

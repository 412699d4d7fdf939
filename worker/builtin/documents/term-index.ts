/** Words too common in English to characterize a text. */
const STOP_WORDS: ReadonlySet<string> = new Set(
  (
    'about above after again against all also am an and any are as at be because been before being below between both ' +
    'but by can cannot could did do does doing down during each either else even ever every few for from further get ' +
    'had has have having he her here hers him his how however if in into is it its itself just like many may me might ' +
    'more most much must my neither no nor not now of off on once only or other our out over own same shall she should ' +
    'since so some such than that the their them then there these they this those through thus to too under until up ' +
    'upon us very was we were what when where whether which while who whom whose why will with within without would ' +
    'yet you your'
  ).split(' '),
);

const MIN_TERM_LENGTH = 2;
const MAX_TERM_LENGTH = 40;

/** A letter or digit and those that follow. Marks belong to the word: most Indic vowels are marks. */
const WORD = /[\p{L}\p{N}][\p{L}\p{M}\p{N}]*/gu;

/**
 * Yields the terms of a text in order: words in Unicode normal form KC and lower case, 2 to 40 characters (code points) long, without
 * English stop words. Scripts without spaces between words are not segmented.
 */
export function* termsOf(text: string): Generator<string, void, void> {
  for (const [word] of text.normalize('NFKC').toLowerCase().matchAll(WORD)) {
    if (hasTermLength(word) && !STOP_WORDS.has(word)) yield word;
  }
}

function hasTermLength(word: string): boolean {
  // A code point has one or two UTF-16 units, so most words need no counting.
  if (word.length > MIN_TERM_LENGTH && word.length <= MAX_TERM_LENGTH) return true;
  if (word.length < MIN_TERM_LENGTH || word.length > 2 * MAX_TERM_LENGTH) return false;
  const length = Array.from(word).length;
  return length >= MIN_TERM_LENGTH && length <= MAX_TERM_LENGTH;
}

interface ScoredTerm {
  readonly term: string;
  /** Rounded to 4 decimals. */
  readonly score: number;
}

/**
 * Counts terms in documents and scores them by TF-IDF. Documents are numbered in the order in which they were added.
 *
 * The score of term t in document d, of N documents of which df have t, is
 * `count(t, d) / tokens(d) * (ln((1 + N) / (1 + df(t))) + 1)`:
 * the relative frequency times scikit-learn's smoothed inverse document frequency (`TfidfTransformer`, `smooth_idf`,
 * `norm=None`; https://scikit-learn.org/stable/modules/feature_extraction.html#tfidf-term-weighting).
 */
export class TermIndex {
  readonly #numbers = new Map<string, number>();
  readonly #terms: string[] = [];
  readonly #documentFrequency: number[] = [];
  /** Term numbers and counts, alternating: a tenth of the memory of a map per document. */
  readonly #counts: Uint32Array[] = [];
  readonly #tokens: number[] = [];

  /** Number of documents added. */
  get documents(): number {
    return this.#counts.length;
  }

  /** Number of distinct terms in all documents. */
  get terms(): number {
    return this.#terms.length;
  }

  /** Adds a document. Returns its number of terms, repetitions included. */
  add(text: string): number {
    const counts = new Map<number, number>();
    let tokens = 0;
    for (const term of termsOf(text)) {
      const number = this.#numberOf(term);
      counts.set(number, (counts.get(number) ?? 0) + 1);
      tokens += 1;
    }
    const packed = new Uint32Array(2 * counts.size);
    let at = 0;
    for (const [number, count] of counts) {
      this.#documentFrequency[number] = this.#frequencyOf(number) + 1;
      packed[at++] = number;
      packed[at++] = count;
    }
    this.#counts.push(packed);
    this.#tokens.push(tokens);
    return tokens;
  }

  /** Returns the number of terms in a document, repetitions included. */
  tokensOf(document: number): number {
    return this.#tokens[document] ?? 0;
  }

  /** Returns the terms of a document with the highest scores among all documents so far; equal scores in the order of the terms. */
  topTerms(document: number, limit: number): ScoredTerm[] {
    const counts = this.#counts[document] ?? new Uint32Array();
    const scored: ScoredTerm[] = [];
    for (let at = 0; at < counts.length; at += 2) {
      const number = counts[at] as number;
      const frequency = (counts[at + 1] as number) / this.tokensOf(document);
      const rarity = Math.log((1 + this.documents) / (1 + this.#frequencyOf(number))) + 1;
      scored.push({ term: this.#terms[number] as string, score: frequency * rarity });
    }
    // Ranked before rounding: in a long document most scores round to the same.
    scored.sort((a, b) => b.score - a.score || (a.term < b.term ? -1 : 1));
    return scored.slice(0, limit).map(({ term, score }) => ({ term, score: Math.round(score * 10_000) / 10_000 }));
  }

  #numberOf(term: string): number {
    const known = this.#numbers.get(term);
    if (known !== undefined) return known;
    const number = this.#terms.push(term) - 1;
    this.#numbers.set(term, number);
    return number;
  }

  #frequencyOf(number: number): number {
    return this.#documentFrequency[number] ?? 0;
  }
}

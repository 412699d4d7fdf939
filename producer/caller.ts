/** Runs a call of the producer: it fails fast while Redis is unavailable, and `close` waits for it. */
export type Caller = <Value>(work: () => Promise<Value>) => Promise<Value>;

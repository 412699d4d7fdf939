/** Runs a call of the producer's: while Redis is away it fails soon, and `close` lets it finish. */
export type Caller = <Value>(work: () => Promise<Value>) => Promise<Value>;

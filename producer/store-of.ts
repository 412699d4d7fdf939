import type { Store } from '../shared/store.js';

const stores = new WeakMap<object, Store>();

/** Lets the fleet's own parts work over a producer's connection. */
export function keepStore(producer: object, store: Store): void {
  stores.set(producer, store);
}

/** What a producer works over; null for a producer that something else than createProducer has made. */
export function findStore(producer: object): Store | null {
  return stores.get(producer) ?? null;
}

/** The same. Not for its users: the package does not export it. */
export function storeOf(producer: object): Store {
  const store = findStore(producer);
  if (!store) throw new TypeError('Expected a producer made by createProducer of this copy of the package.');
  return store;
}

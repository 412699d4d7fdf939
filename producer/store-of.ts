import type { Store } from '../shared/store.js';

const stores = new WeakMap<object, Store>();

/** Records a producer's store, so that the fleet's own parts can use its connection. */
export function keepStore(producer: object, store: Store): void {
  stores.set(producer, store);
}

/** Returns a producer's store; null if it was not made by createProducer. */
export function findStore(producer: object): Store | null {
  return stores.get(producer) ?? null;
}

/** Returns a producer's store. Internal: the package does not export it. @throws TypeError if it was not made by createProducer */
export function storeOf(producer: object): Store {
  const store = findStore(producer);
  if (!store) throw new TypeError('Expected a producer made by createProducer of this copy of the package.');
  return store;
}

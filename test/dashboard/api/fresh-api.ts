import { afterEach, beforeEach } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import type { TestFleet } from '../../support/fleet/test-fleet.js';
import { type ServedApi, serveApi } from './serve-api.js';

export interface FreshApi {
  readonly keyPrefix: string;
  readonly producer: Producer;
  readonly api: ServedApi;
}

/** Gives each test of the file an API with its own key prefix, closed after the test. */
export function freshApi(fleet: TestFleet, use: (fresh: FreshApi) => void): void {
  let api: ServedApi;
  beforeEach(async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    api = await serveApi({ producer });
    use({ keyPrefix, producer, api });
  });
  afterEach(() => api.close());
}

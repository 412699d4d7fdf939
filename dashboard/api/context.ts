import type { Producer } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import { quote } from '../../shared/keys.js';
import type { Logger } from '../../shared/log/logger.js';
import { didYouMean } from '../../shared/similar.js';
import type { Store } from '../../shared/store.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { billingInitPlans, chatCompletion, documentIndex, fleetCanary, modelsRefresh } from '../../worker/builtin/definitions.js';
import type { Overview } from '../overview/overview.js';
import type { BodyLimits } from './read-body.js';
import type { EventStreams } from './stream/event-streams.js';

/** Built-in tasks for users; the fleet schedules the others itself. */
const PUBLIC_BUILTIN: readonly AnyDefinition[] = [billingInitPlans, chatCompletion, documentIndex, fleetCanary, modelsRefresh];

/** Definitions that may be enqueued over HTTP: built-in tasks and those of the service. */
export class KnownDefinitions {
  readonly #byName: ReadonlyMap<string, AnyDefinition>;

  constructor(own: readonly AnyDefinition[]) {
    this.#byName = new Map([...PUBLIC_BUILTIN, ...own].map((definition) => [definition.name, definition]));
  }

  /** Returns the definitions, sorted by name. */
  list(): AnyDefinition[] {
    return [...this.#byName.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Returns the time limit of a task in ms; null for none, or for an unknown name. */
  timeoutOf(name: string): number | null {
    return this.#byName.get(name)?.timeoutMs ?? null;
  }

  /**
   * Finds a definition by name. @throws FleetError `UNKNOWN_TASK`, with the known names
   * @param field the field of the request with the name
   */
  find(name: string, field = 'name'): AnyDefinition {
    const definition = this.#byName.get(name);
    if (definition) return definition;
    const known = this.list().map((one) => one.name);
    throw new FleetError('UNKNOWN_TASK', `Unknown task ${quote(name)}.${didYouMean(name, known)} Known here: ${known.join(', ')}.`, {
      details: { field, known },
    });
  }
}

/** The routes' shared dependencies. */
export interface ApiContext {
  readonly producer: Producer;
  readonly store: Store;
  readonly definitions: KnownDefinitions;
  readonly body: BodyLimits;
  readonly streams: EventStreams;
  readonly overview: Overview;
  readonly logger: Logger;
}

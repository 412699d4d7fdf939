import { FleetError } from '../../shared/errors.js';
import { quote } from '../../shared/keys.js';
import { billingInitPlans, chatCompletion, documentIndex, fleetCanary, modelsRefresh } from '../../shared/task/builtin/index.js';
import type { AnyDefinition } from '../../shared/task/definition.js';

/** The built-in tasks that somebody may want. The others the fleet does for itself, at their times. */
const WANTED: readonly AnyDefinition[] = [billingInitPlans, chatCompletion, documentIndex, fleetCanary, modelsRefresh];

/** What may be enqueued over HTTP: the built-in tasks, and the service's own. */
export class KnownDefinitions {
  readonly #byName: ReadonlyMap<string, AnyDefinition>;

  constructor(own: readonly AnyDefinition[]) {
    this.#byName = new Map([...WANTED, ...own].map((definition) => [definition.name, definition]));
  }

  /** By name. */
  list(): AnyDefinition[] {
    return [...this.#byName.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws FleetError `UNKNOWN_TASK`, with the names that are known */
  find(name: string): AnyDefinition {
    const definition = this.#byName.get(name);
    if (definition) return definition;
    const known = this.list().map((one) => one.name);
    throw new FleetError('UNKNOWN_TASK', `Unknown task ${quote(name)}. Known here: ${known.join(', ')}.`, {
      details: { field: 'name', known },
    });
  }
}

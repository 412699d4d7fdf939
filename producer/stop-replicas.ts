import { type Replicas, notReplicated } from '../shared/redis/replicas.js';
import { type StopAnswer, type StopReceipt, type StopRecord, queuesOf, receiptOfAnswer, receiptToJson } from '../shared/stop/receipt.js';

/** Makes stops wait for replicas (STOP_WAIT_REPLICAS). */
export class StopReplicas {
  readonly #replicas: Replicas;

  constructor(replicas: Replicas) {
    this.#replicas = replicas;
  }

  /**
   * Requests stops and waits until replicas have every recorded or settled one. Stops of foreign tasks are not stored in Redis, and
   * ended tasks need no stop, so neither waits.
   * @throws FleetError `NOT_REPLICATED` with the receipts
   */
  async confirmed(asked: Omit<StopRecord, 'via'>, request: () => Promise<Map<string, StopAnswer>>): Promise<Map<string, StopAnswer>> {
    const written = this.#replicas.begin();
    const answers = await request();
    const stopped = [...answers].flatMap(([id, { kind }]) => (kind === 'recorded' || kind === 'cancelled' ? [{ id }] : []));
    if (stopped.length === 0) return answers;
    const shortfall = await written.confirm(queuesOf(answers));
    if (shortfall === null) return answers;
    const receipts = [...answers].map(([id, answer]) => receiptOfAnswer(id, answer, asked));
    throw notReplicated(`${listOf(stopped)} ${stopped.length === 1 ? 'is' : 'are'} recorded`, shortfall, detailsOf(receipts));
  }

  /**
   * Returns the receipts that `read` finds settled, once replicas have the tasks' ends.
   * @throws FleetError `NOT_REPLICATED` with the receipts
   */
  async settled(queueOf: (id: string) => string, read: () => Promise<Map<string, StopReceipt>>): Promise<Map<string, StopReceipt>> {
    const written = this.#replicas.begin();
    const receipts = await read();
    const cancelled = [...receipts.values()].filter(({ outcome }) => outcome === 'cancelled');
    if (cancelled.length === 0) return receipts;
    const shortfall = await written.confirm([null, ...cancelled.map(({ id }) => queueOf(id))]);
    if (shortfall === null) return receipts;
    throw notReplicated(
      `${listOf(cancelled)} ${cancelled.length === 1 ? 'has' : 'have'} settled`,
      shortfall,
      detailsOf([...receipts.values()]),
    );
  }
}

const SHOWN = 5;

function listOf(stopped: readonly { readonly id: string }[]): string {
  if (stopped.length === 1) return `The stop of task ${stopped[0]?.id}`;
  const shown = stopped
    .slice(0, SHOWN)
    .map(({ id }) => id)
    .join(', ');
  return `The stops of tasks ${shown}${stopped.length > SHOWN ? ` and ${stopped.length - SHOWN} more` : ''}`;
}

function detailsOf(receipts: readonly StopReceipt[]): Readonly<Record<string, unknown>> {
  return { ids: receipts.map(({ id }) => id), receipts: receipts.map(receiptToJson) };
}

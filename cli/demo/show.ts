import { setTimeout as delay } from 'node:timers/promises';
import type { Producer } from '../../producer/index.js';
import { type BatchTask, SPINNING, STOPPED_CHAT, STOPPED_ITEM } from './batch.js';
import { Board } from './board.js';
import type { Screen } from './screen.js';
import type { TaskRow } from './task-row.js';

export interface ShowOptions {
  readonly producer: Producer;
  readonly batch: readonly BatchTask[];
  readonly screen: Screen;
  readonly signal: AbortSignal;
}

/** How many pieces of text the chat may send before it is stopped. */
const HEARD_ENOUGH = 100;
/** From the stop of the chat to that of the item. */
const PAUSE_MS = 1_500;
const STOP_WAIT_MS = 10_000;
const BY = 'demo';

/**
 * The demo as a service would do it, with nothing but a producer: enqueues the batch, follows it, stops one chat while it
 * talks and then every task of one item. Resolves when all tasks have ended.
 * @throws the signal's reason; what the producer throws
 */
export async function runShow({ producer, batch, screen, signal }: ShowOptions, keep: (rows: readonly TaskRow[]) => void): Promise<void> {
  const board = new Board(producer, batch, (row) => screen.changed(row));
  keep(board.rows);
  await enqueue(producer, batch);
  screen.tell(`Enqueued ${batch.length} tasks of ${new Set(batch.map(({ item }) => item)).size} items.`);
  screen.show(board.rows);
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  try {
    await Promise.all([board.follow(either), stopSome(producer, board, screen, either)]);
  } catch (error) {
    // Whichever failed first, the other does not go on alone.
    failed.abort(error);
    throw error;
  }
}

async function enqueue(producer: Producer, batch: readonly BatchTask[]): Promise<void> {
  // In one tick: their writes to the registry are merged, and they reach the queues in this order.
  await Promise.all(
    batch.map(({ id, item, definition, input, delay: ms }) => producer.enqueue(definition, input, { id, item, delay: ms })),
  );
}

async function stopSome(producer: Producer, board: Board, screen: Screen, signal: AbortSignal): Promise<void> {
  const chat = board.row(STOPPED_CHAT);
  await board.until(() => chat.pieces >= HEARD_ENOUGH || chat.ended, signal);
  screen.tell(screen.paint('yellow', `Stopping ${STOPPED_CHAT} in the middle of its stream, after ${chat.pieces} words …`));
  board.keep([await producer.stop(STOPPED_CHAT, { reason: 'heard enough', by: BY, waitMs: STOP_WAIT_MS })]);

  // One of the item is to be found burning its CPU: it has said so by then.
  const spinning = board.row(SPINNING);
  await Promise.all([delay(PAUSE_MS, undefined, { signal }), board.until(() => spinning.share !== null || spinning.ended, signal)]);
  const live = board.rows.filter((row) => row.task.item === STOPPED_ITEM && !row.ended);
  screen.tell(
    screen.paint('yellow', `Stopping all of the item "${STOPPED_ITEM}": ${live.length} tasks that run, wait or are due in an hour …`),
  );
  board.keep(await producer.stopItem(STOPPED_ITEM, { reason: 'no longer wanted', by: BY, waitMs: STOP_WAIT_MS }));
}

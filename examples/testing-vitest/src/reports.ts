import { isFleetError } from 'taskfleet';
import type { Producer } from 'taskfleet/producer';
import { writeReport } from './tasks.js';

/** What a route of the service does: status and body of its answer. */
export async function requestReport(producer: Producer, user: string): Promise<{ status: number; body: unknown }> {
  try {
    const { id } = await producer.enqueue(writeReport, { user }, { item: `user-${user}` });
    return { status: 202, body: { id } };
  } catch (error) {
    if (isFleetError(error, 'INVALID_INPUT')) return { status: 422, body: { message: error.message } };
    if (isFleetError(error, 'ITEM_BUSY')) return { status: 409, body: { message: 'One report at a time, please.' } };
    if (isFleetError(error, 'REDIS_UNAVAILABLE')) return { status: 503, body: { message: 'Try again later.' } };
    throw error;
  }
}

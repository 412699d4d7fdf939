import { FleetError } from '../errors.js';
import type { StopReceipt } from './receipt.js';

/** The error of a wait for a task that was stopped. `code` is `TASK_CANCELLED`. */
export class TaskCancelled extends FleetError {
  readonly receipt: StopReceipt;

  constructor(receipt: StopReceipt) {
    const by = receipt.by === null ? '' : ` by ${receipt.by}`;
    const reason = receipt.reason === null ? '' : `: ${receipt.reason}`;
    super('TASK_CANCELLED', `Task ${receipt.id} was stopped${by}${reason}`, { details: { id: receipt.id, via: receipt.via } });
    this.name = 'TaskCancelled';
    this.receipt = receipt;
  }
}

import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from '../../../shared/errors.js';
import { receipt, taskState } from './task.js';

const codes = [...(Object.keys(ERROR_CODES) as ErrorCode[]), 'INTERNAL_ERROR'] as const;

export const problem = z
  .strictObject({
    type: z.literal('about:blank'),
    title: z.string().meta({ description: 'The reason phrase of the status.' }),
    status: z.int().min(400).max(599),
    detail: z.string().meta({ description: 'For humans; programs decide by `code`.' }),
    code: z.enum(codes),
    request_id: z.string().nullable(),
    errors: z
      .array(z.strictObject({ field: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'One entry per invalid field.' }),
    key: z
      .string()
      .nullable()
      .optional()
      .meta({ description: 'With `ITEM_BUSY`: the key that is taken; null for a limit of the whole task.' }),
    ids: z
      .array(z.string())
      .optional()
      .meta({ description: 'With `ITEM_BUSY`: the tasks that are in the way. With `NOT_REPLICATED`: the tasks enqueued or stopped.' }),
    id: z.string().optional().meta({ description: 'With `exists`: the id of the task to be enqueued.' }),
    exists: z
      .union([z.boolean(), z.literal('unknown')])
      .optional()
      .meta({ description: 'With a Redis error after `POST /tasks`: whether the task exists.' }),
    known: z.array(z.string()).optional().meta({ description: 'With `UNKNOWN_TASK`: the known names.' }),
    receipt: receipt.optional().meta({ description: 'With `TASK_FINISHED`.' }),
    receipts: z.array(receipt).optional().meta({ description: 'With `NOT_REPLICATED` after a stop.' }),
    replicas: z.int().optional().meta({ description: 'With `NOT_REPLICATED`: replicas that acknowledged the write.' }),
    wanted: z.int().optional().meta({ description: 'With `NOT_REPLICATED`: replicas required.' }),
    state: taskState.optional().meta({ description: 'With `TASK_NOT_RETRYABLE`.' }),
  })
  .meta({ id: 'Problem', description: 'An RFC 9457 problem.' });

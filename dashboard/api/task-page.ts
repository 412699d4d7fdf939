import { type ListOptions, type Producer, taskToJson } from '../../producer/index.js';
import { type Principal, seesItem } from '../auth/principal.js';

/** Reads a page of the tasks visible to the caller, as JSON. */
export async function pageOf(
  producer: Producer,
  principal: Principal,
  options: ListOptions,
): Promise<{ tasks: unknown[]; next: string | null }> {
  const sees = principal.items === null ? undefined : (item: string | null): boolean => seesItem(principal, item);
  const { tasks, next } = await producer.list({ ...options, sees });
  return { tasks: tasks.map(taskToJson), next };
}

import { receiptToJson } from 'taskfleet/producer';
import { answerTo, fleet } from '../../../lib/fleet';

export async function DELETE(_request: Request, { params }: { params: Promise<{ id: string }> }): Promise<Response> {
  const { id } = await params;
  try {
    return Response.json(receiptToJson(await fleet().stop(id, { reason: 'deleted by its user', waitMs: 5_000 })));
  } catch (error) {
    return answerTo(error);
  }
}

import { answerTo, fleet } from '../../lib/fleet';
import { writeStory } from '../../lib/tasks';

export async function POST(request: Request): Promise<Response> {
  const body = await request.json().catch(() => null);
  if (typeof body?.user !== 'string') return Response.json({ error: 'Expected JSON with a user' }, { status: 400 });
  const { user, ...input } = body;
  try {
    const { id } = await fleet().enqueue(writeStory, input, { item: user });
    return Response.json({ id }, { status: 202 });
  } catch (error) {
    return answerTo(error);
  }
}

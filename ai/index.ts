export { AnswerFailed, AnswerRestarted } from './answer-errors.js';
export type { AnswerEvent } from './answer-reader.js';
export { type AnswerStreamOptions, type OpenEvents, uiMessageStreamOf } from './answer-stream.js';
export { type ChatItem, type SendRequest, TaskfleetChatTransport, type TaskfleetChatTransportOptions } from './chat-transport.js';
export {
  type AnswerContext,
  type AnswerSource,
  type EmitOptions,
  type GeneratedText,
  emitUIMessageStream,
} from './emit-ui-message-stream.js';
export { uiMessage, uiMessageChunk } from './schemas.js';

import { useChat } from '@ai-sdk/react';
import type { UIMessage } from 'ai';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { AnswerRestarted, type TaskfleetChatTransport } from 'taskfleet/ai';

interface ChatProps {
  readonly id: string;
  readonly transport: TaskfleetChatTransport;
  readonly initial: UIMessage[];
  readonly readMessages: () => Promise<UIMessage[]>;
}

export function Chat({ id, transport, initial, readMessages }: ChatProps) {
  const [text, setText] = useState('');
  const chat = useChat({
    ...{ id, transport, messages: initial, resume: true },
    // An answer of several steps has begun again: this replaces it.
    onError: (problem) => problem instanceof AnswerRestarted && void chat.resumeStream(),
  });
  const { messages, setMessages, sendMessage, resumeStream, status, error } = chat;
  const isAnswering = status === 'submitted' || status === 'streaming';

  // Another tab may have asked meanwhile.
  useEffect(() => {
    const catchUp = async () => {
      if (document.visibilityState !== 'visible' || isAnswering) return;
      setMessages(await readMessages());
      await resumeStream();
    };
    document.addEventListener('visibilitychange', catchUp);
    return () => document.removeEventListener('visibilitychange', catchUp);
  }, [isAnswering]);

  const send = (event: FormEvent) => {
    event.preventDefault();
    if (!text.trim()) return;
    void sendMessage({ text });
    setText('');
  };

  return (
    <>
      <header>
        <h1>Chat</h1>
        <a href="/fleet/">Tasks</a>
      </header>
      <main aria-live="polite">
        {messages.length === 0 && <p className="hint">Ask for a list: “Tell me 30 things.” Then reload, or open a second tab.</p>}
        {messages.map((message) => (
          <Message key={message.id} message={message} />
        ))}
        <Bottom follows={messages} />
      </main>
      {error && <p role="alert">{error.message}</p>}
      <form onSubmit={send}>
        <input aria-label="Message" placeholder="Ask something" value={text} onChange={(event) => setText(event.target.value)} />
        {/* Not the chat's own stop, which only leaves the answer: this one stops it, for every tab. */}
        <button type="button" disabled={!isAnswering} onClick={() => void transport.stop(id, { reason: 'Stopped by the user' })}>
          Stop
        </button>
        <button disabled={!text.trim()}>Send</button>
      </form>
      <output>{status}</output>
    </>
  );
}

function Message({ message: { role, parts } }: { readonly message: UIMessage }) {
  return <article className={role}>{parts.map((part, index) => part.type === 'text' && <p key={index}>{part.text}</p>)}</article>;
}

/** Keeps the newest text in view. */
function Bottom({ follows }: { readonly follows: unknown }) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    ref.current?.scrollIntoView({ block: 'end' });
  }, [follows]);
  return <div ref={ref} />;
}

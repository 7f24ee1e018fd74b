// The two doors for clients without WebSockets, as a page would use them: Stream reads
// an event stream as EventSource does, Poller asks again and again. Both have nothing
// but the positions that the server gives them; a ledger tells what that is worth.

import { setTimeout as pause } from 'node:timers/promises';
import { Events, PATIENCE } from './events.mjs';
import { Ledger } from './press.mjs';
import { APP } from './server.mjs';

const AGAIN = 50; // ms until a lost line is opened again; a browser waits as retry: says

// admission is the part of a query that names channels, and proves the right to them:
// signatures are made for a session id.
export async function admission(line, backend, channels, user = 'ann') {
  const query = new URLSearchParams(channels.map((channel) => ['channel', channel]));
  if (!channels.some((channel) => /^(private|presence)-/.test(channel))) return query;
  const answer = await fetch(`${line.url}/app/${APP.key}/session`, { method: 'POST' });
  const { socket_id: id } = await answer.json();
  query.append('socket_id', id);
  for (const channel of channels) {
    const { auth = '', channel_data: data = '' } = /^(private|presence)-/.test(channel) ? await backend.authorize(id, channel, user) : {};
    query.append('auth', auth);
    query.append('channel_data', data);
  }
  return query;
}

class Door {
  ledgers = new Map(); // channel -> Ledger
  frames; // every frame, by event name
  opened = 0; // requests that were answered
  #ended = new AbortController();

  constructor(t, name, channels) {
    this.name = name;
    this.frames = new Events(name);
    for (const channel of channels) this.ledgers.set(channel, new Ledger(name, channel));
    t.after(() => this.end());
  }

  async reaches(press) {
    for (const [channel, ledger] of this.ledgers) await ledger.reaches(press.last.get(channel));
  }

  end() {
    this.#ended.abort();
  }

  // fetch is GET, ended with the door.
  get(url, headers) {
    return fetch(url, { headers, signal: this.#ended.signal });
  }

  get ended() {
    return this.#ended.signal.aborted;
  }

  // take is what an application makes of a frame.
  take(frame) {
    const { event, channel, data } = frame;
    this.frames.push(event, frame);
    if (event === 'tick') this.ledgers.get(channel).event(JSON.parse(data));
    if (frame.recovered === false || frame.reason) this.ledgers.get(channel).gap(frame.reason);
  }
}

export class Stream extends Door {
  id = ''; // the last event id
  retry = null; // ms, as the server asked
  answer = null; // the head of the last answer
  over = null; // status of the answer that ended it for good

  static open(t, line, query, { name = 'stream', since } = {}) {
    const stream = new Stream(t, name, query.getAll('channel'));
    stream.url = `${line.url}/app/${APP.key}/sse?${query}`;
    stream.id = since ?? '';
    stream.run = stream.#run();
    return stream;
  }

  async #run() {
    for (; !this.ended; await pause(AGAIN)) {
      try {
        this.answer = await this.get(this.url, { Accept: 'text/event-stream', ...(this.id && { 'Last-Event-ID': this.id }) });
        this.opened++;
        if (this.answer.status !== 200) {
          await this.answer.text();
          this.over = this.answer.status;
          return;
        }
        await this.#read(this.answer.body);
      } catch (err) {
        if (err instanceof SyntaxError) throw err; // a block that is no JSON
      }
    }
  }

  // read hands out each block that is whole. What a lost line left of one is nothing.
  async #read(body) {
    let text = '';
    for await (const bytes of body.pipeThrough(new TextDecoderStream())) {
      const blocks = (text + bytes).split('\n\n');
      text = blocks.pop();
      for (const block of blocks) this.#block(block.split('\n'));
    }
  }

  #block(lines) {
    let data = null;
    for (const line of lines) {
      const [, name, value] = /^([a-z]*): ?(.*)$/.exec(line);
      if (name === 'id') this.id = value;
      if (name === 'retry') this.retry = Number(value);
      if (name === 'data') data = value;
    }
    if (data !== null) this.take(JSON.parse(data));
  }
}

export class Poller extends Door {
  next = null; // where it stands
  statuses = new Map(); // status -> how often

  static open(t, line, query, { name = 'poller', wait = 5, since = null } = {}) {
    const poller = new Poller(t, name, query.getAll('channel'));
    poller.url = `${line.url}/app/${APP.key}/poll?${query}`;
    poller.wait = wait;
    poller.next = since;
    poller.run = poller.#run();
    return poller;
  }

  async #run() {
    while (!this.ended) {
      try {
        await this.#ask();
      } catch (err) {
        if (err instanceof SyntaxError) throw err;
        await pause(AGAIN); // nothing has moved: the same is asked again
      }
    }
  }

  async #ask() {
    const since = this.next ? `&since=${this.next}&wait=${this.wait}` : '';
    const answer = await this.get(this.url + since, since ? { 'If-None-Match': `"${this.next}"` } : {});
    this.statuses.set(answer.status, (this.statuses.get(answer.status) ?? 0) + 1);
    if (answer.status === 503) throw new Error('the server is about to end');
    const text = await answer.text();
    this.opened++;
    if (answer.status === 304) return;
    if (answer.status !== 200) throw new SyntaxError(`${answer.status} ${text}`);
    const { next, channels } = JSON.parse(text);
    this.next = next;
    for (const { channel, recovered, reason, events } of channels) {
      if (recovered === false) this.ledgers.get(channel).gap(reason);
      for (const frame of events) this.take(frame);
    }
    this.frames.push('answer', channels);
  }

  // stands waits until it knows where its channels stand.
  async stands() {
    await this.frames.next('answer', undefined, PATIENCE);
  }
}

// Fake is a Pusher server with recovery as the wire says, small enough to be read: one
// log a channel, no signatures, no limits. A test may also write every frame itself:
// script() hands it the subscribes of a channel.
//
// Channels by name: "off-…" has no history; cache and presence channels are what their
// prefix says. POST /apps/{id}/events publishes, so that a page's test can drive it as
// it drives a real server.

import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { Events } from './events.mjs';

const SUCCEEDED = 'pusher_internal:subscription_succeeded';

export class Fake {
  // frames: what clients sent, by event name; data as sent, line = who sent it.
  frames = new Events('frames of the clients');
  lines = new Set();
  keep = 100; // events a channel
  recoverEvents = 50;
  unavailable = false;
  // stock: the server adds nothing to the protocol of Pusher.
  stock = false;

  #channels = new Map();
  #scripts = new Map();
  #sockets = 1000;
  #epochs = 0;

  static async start(t, { port = 0, ...settings } = {}) {
    const fake = Object.assign(new Fake(), settings);
    const http = createServer((req, res) => fake.#api(req, res));
    fake.sockets = new WebSocketServer({ server: http });
    fake.sockets.on('connection', (ws) => fake.#accept(ws));
    await new Promise((resolve) => http.listen(port, '127.0.0.1', resolve));
    fake.port = http.address().port;
    t.after(() => {
      for (const line of fake.lines) line.ws.terminate();
      http.closeAllConnections();
      http.close();
    });
    return fake;
  }

  // publish gives the event the next number of its channel. except is a socket id.
  publish(channel, event, data, { except } = {}) {
    const log = this.#log(channel);
    const entry = { event, data: typeof data === 'string' ? data : JSON.stringify(data), except };
    if (this.#numbered(channel)) {
      entry.seq = ++log.seq;
      log.events.push(entry);
      log.events.splice(0, log.events.length - this.keep);
    }
    log.last = entry;
    for (const line of this.#members(channel)) this.#hand(line, channel, entry, line.socketId);
    return entry.seq;
  }

  // relay is a client event: to the subscribers, without a number.
  relay(channel, event, data) {
    for (const line of this.#members(channel)) line.send({ event, channel, data: JSON.stringify(data), user_id: '7' });
  }

  // position is the channel's head.
  position(channel) {
    const { epoch, seq } = this.#log(channel);
    return { epoch, seq };
  }

  // restart begins a new epoch, as after a loss; with tell the subscribers hear of it.
  restart(channel, { seq = 0, tell = false } = {}) {
    Object.assign(this.#log(channel), { epoch: this.#epoch(), seq, events: [] });
    if (!tell) return;
    for (const line of this.#members(channel)) {
      line.send({ event: 'pusher_internal:position', channel, data: '{}', position: this.position(channel), reason: 'epoch' });
    }
  }

  // set puts the head of a channel where a test wants it.
  set(channel, epoch, seq) {
    Object.assign(this.#log(channel), { epoch, seq, events: [] });
  }

  // trim forgets all but the newest n events of a channel.
  trim(channel, n) {
    const { events } = this.#log(channel);
    events.splice(0, events.length - n);
  }

  // script: answer(line, data) does all that follows a subscribe to the channel.
  script(channel, answer) {
    this.#scripts.set(channel, answer);
  }

  // drop closes every connection; pusher-js is back at once after 4200.
  drop(code = 4200) {
    for (const line of this.lines) line.ws.close(code);
    this.lines.clear();
  }

  // hears waits for the next subscribe to a channel and returns its data.
  async hears(channel, event = 'pusher:subscribe') {
    return (await this.frames.next(event, (data) => data.channel === channel)).data;
  }

  #members(channel) {
    return [...this.lines].filter((line) => line.channels.has(channel));
  }

  #numbered(channel) {
    return !this.stock && !channel.startsWith('off-');
  }

  #log(channel) {
    if (!this.#channels.has(channel)) this.#channels.set(channel, { epoch: this.#epoch(), seq: 0, events: [], last: null });
    return this.#channels.get(channel);
  }

  #epoch() {
    return `fakeEp${String(++this.#epochs).padStart(4, '0')}`;
  }

  #accept(ws) {
    const line = { ws, channels: new Set(), socketId: `${process.pid}.${++this.#sockets}` };
    line.send = (frame) => ws.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
    this.lines.add(line);
    ws.on('close', () => this.lines.delete(line));
    ws.on('message', (text) => this.#receive(line, JSON.parse(text)));
    const hello = { socket_id: line.socketId, activity_timeout: 120, ...(!this.stock && { recovery: true }) };
    line.send({ event: 'pusher:connection_established', data: JSON.stringify(hello) });
  }

  #receive(line, { event, data, channel }) {
    if (event === 'pusher:ping') return line.send({ event: 'pusher:pong', data: {} });
    if (event === 'pusher:signin') return line.send({ event: 'pusher:signin_success', data: JSON.stringify({ user_data: data.user_data }) });
    if (event === 'pusher:unsubscribe') line.channels.delete(data.channel);
    if (event === 'pusher:subscribe') {
      (this.#scripts.get(data.channel) ?? ((...args) => this.subscribe(...args)))(line, data);
    }
    this.frames.push(event, data, { channel, line });
  }

  // subscribe answers as the server does: success, replay ascending, cached, then live.
  subscribe(line, { channel, channel_data: member, recover, rewind }) {
    line.channels.add(channel);
    const log = this.#log(channel);
    const success = { event: SUCCEEDED, channel, data: member ? presence(member) : '{}' };
    let replay = [];
    let caught = false;
    if (this.#numbered(channel)) {
      success.position = this.position(channel);
      const reason = recover && this.#refuses(log, recover);
      if (reason) {
        Object.assign(success, { recovered: false, reason });
      } else if (recover || rewind) {
        const from = recover ? recover.seq : Math.max(log.seq - rewind, log.seq - log.events.length);
        replay = log.events.filter((entry) => entry.seq > from);
        caught = true;
        success.position = { epoch: log.epoch, seq: from };
        Object.assign(success, { ...(recover && { recovered: true }), replayed: replay.length });
      }
    } else if (recover && !this.stock) {
      Object.assign(success, { recovered: false, reason: 'off' });
    }
    line.send(success);
    for (const entry of replay) this.#hand(line, channel, entry, recover?.socket_id);
    if (/^(private-|presence-)?(encrypted-)?cache-/.test(channel) && !caught) {
      if (log.last) line.send(frameOf(channel, log.last, { cached: true }));
      else line.send({ event: 'pusher:cache_miss', channel });
    }
  }

  #refuses({ epoch, seq, events }, recover) {
    if (typeof recover.epoch !== 'string' || !Number.isSafeInteger(recover.seq)) return 'malformed';
    if (this.unavailable) return 'unavailable';
    if (recover.epoch !== epoch) return 'epoch';
    if (recover.seq > seq) return 'ahead';
    if (seq - recover.seq > events.length) return 'expired';
    if (seq - recover.seq > this.recoverEvents) return 'too_many';
    return null;
  }

  // hand sends an event, or in its place the position to the one that caused it.
  #hand(line, channel, entry, socketId) {
    if (!entry.except || entry.except !== socketId) return line.send(frameOf(channel, entry));
    if (entry.seq) {
      const position = { epoch: this.#log(channel).epoch, seq: entry.seq };
      line.send({ event: 'pusher_internal:position', channel, data: '{}', position });
    }
  }

  async #api(req, res) {
    let body = '';
    for await (const chunk of req) body += chunk;
    const { name, data, channel, channels = [channel], socket_id: except } = JSON.parse(body || '{}');
    for (const each of channels) this.publish(each, name, data, { except });
    res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
  }
}

function frameOf(channel, { event, data, seq }, more) {
  return { event, channel, data, ...(seq && { seq }), ...more };
}

function presence(member) {
  const { user_id: id, user_info: info } = JSON.parse(member);
  return JSON.stringify({ presence: { ids: [id], hash: { [id]: info }, count: 1 } });
}

// Page is one page with a stock pusher-js, the recovery and a record of what the
// application was told.

import Pusher from 'pusher-js';
import nacl from 'tweetnacl';
import { holdfastRecovery } from '@holdfast-edge/recovery';
import { Events } from './events.mjs';

// The WebSocket library inside pusher-js starts a timer of 30 s whenever it is told to
// close and nobody stops it. It must not keep the test process alive.
const { setTimeout: start } = globalThis;
globalThis.setTimeout = (callback, delay, ...args) => {
  const timer = start(callback, delay, ...args);
  return delay === 30_000 ? timer.unref() : timer;
};

const SECRET = new Uint8Array(32).fill(7);
let marks = 0;

export class Page {
  // told: what the application hears, by event name, with channel. gaps: onGap, by
  // reason, with channel. order: both, as they came.
  told = new Events('told');
  gaps = new Events('gaps');
  order = [];

  static open(t, server, { Client = Pusher, recovery = {}, ...options } = {}) {
    const page = new Page();
    page.server = server;
    page.pusher = new Client('app-key', {
      cluster: 'mt1',
      wsHost: '127.0.0.1',
      wsPort: server.port,
      forceTLS: false,
      enabledTransports: ['ws'],
      channelAuthorization: { customHandler: authorize },
      userAuthentication: { customHandler: (_, done) => done(null, { auth: 'app-key:0', user_data: '{"id":"7"}' }) },
      ...options,
    });
    if (recovery) page.recover(recovery);
    t.after(() => page.close());
    return page;
  }

  recover(options) {
    this.recovery = holdfastRecovery(this.pusher, {
      storage: null,
      onGap: (channel, reason) => {
        this.order.push(`gap ${channel} ${reason}`);
        this.gaps.push(reason, channel, { channel });
      },
      ...options,
    });
  }

  // subscribe records all that the channel tells the application.
  subscribe(name) {
    const channel = this.pusher.subscribe(name);
    channel.bind_global((event, data) => {
      this.order.push(`${event} ${JSON.stringify(data)}`);
      this.told.push(event, data, { channel: name });
    });
    return channel;
  }

  async join(name) {
    const channel = this.subscribe(name);
    await this.joined(name);
    return channel;
  }

  joined(name) {
    return this.hears('pusher:subscription_succeeded', name);
  }

  hears(event, name) {
    return this.told.next(event, (_, record) => record.channel === name);
  }

  // heard lists the data of an event so far, in order.
  heard(event, name) {
    return this.told.all(event, (_, record) => record.channel === name).map(({ data }) => data);
  }

  lost() {
    return this.gaps.all().map(({ event, channel }) => [channel, event]);
  }

  // settled resolves when the page has received all that the server sent before.
  async settled(channel) {
    const mark = `client-mark-${++marks}`;
    this.server.relay(channel, mark, {});
    await this.hears(mark, channel);
  }

  // reconnect ends the connection from the server's side and waits for the next.
  async reconnect(...channels) {
    const before = this.pusher.connection.socket_id;
    this.server.drop();
    await this.online(before);
    for (const channel of channels) await this.joined(channel);
  }

  async online(before) {
    while (this.pusher.connection.state !== 'connected' || this.pusher.connection.socket_id === before) {
      await new Promise((resolve) => this.pusher.connection.bind('state_change', resolve));
    }
  }

  // raw gives the page a frame as if it had come from the server, in this call.
  raw(frame) {
    this.pusher.connection.connection.transport.emit('message', { data: JSON.stringify(frame) });
  }

  close() {
    this.recovery?.stop();
    this.pusher.disconnect();
  }
}

export function authorize({ channelName }, done) {
  const answer = { auth: 'app-key:0' };
  if (channelName.startsWith('presence-')) answer.channel_data = JSON.stringify({ user_id: '7', user_info: { name: 'Ann' } });
  if (channelName.startsWith('private-encrypted-')) answer.shared_secret = Buffer.from(SECRET).toString('base64');
  done(null, answer);
}

// seal is what an application publishes on an encrypted channel.
export function seal(data) {
  const nonce = nacl.randomBytes(24);
  const ciphertext = nacl.secretbox(Buffer.from(JSON.stringify(data)), nonce, SECRET);
  return { nonce: Buffer.from(nonce).toString('base64'), ciphertext: Buffer.from(ciphertext).toString('base64') };
}

// Storage is a sessionStorage that can be watched and broken.
export class Storage {
  items = new Map();
  writes = 0;
  broken = false;

  getItem(name) {
    this.#fail();
    return this.items.get(name) ?? null;
  }

  setItem(name, value) {
    this.writes++;
    this.#fail();
    this.items.set(name, value);
  }

  #fail() {
    if (this.broken) throw new DOMException('The quota has been exceeded.', 'QuotaExceededError');
  }
}

// Tab is one browser tab: a stock pusher-js client and a record of all that it
// was told.

import Pusher from 'pusher-js';
import { Events } from './events.mjs';
import { APP } from './server.mjs';

let rooms = 0;

// The WebSocket library inside pusher-js starts a timer of 30 s whenever it is
// told to close, even for a connection that the server has closed already, and
// then nobody stops it. It must not keep the test process alive.
const { setTimeout: start } = globalThis;
globalThis.setTimeout = (callback, delay, ...args) => {
  const timer = start(callback, delay, ...args);
  return delay === 30_000 ? timer.unref() : timer;
};

export class Tab {
  // frames: every message of the server by its event name, with channel and
  // user_id beside the data. states: the connection's states. errors: what
  // pusher.connection reports as error, by code.
  constructor(name) {
    this.name = name;
    this.frames = new Events(`${name}, frames`);
    this.states = new Events(`${name}, states`);
    this.errors = new Events(`${name}, errors`);
    this.watchlist = new Events(`${name}, watchlist`);
    this.user = new Events(`${name}, user events`);
  }

  // open connects. It does not wait: that is online().
  static open(t, server, { name = 'tab', app = APP, backend, user, watch, ...options } = {}) {
    const tab = new Tab(name);
    const headers = { ...(user && { 'X-User': user }), ...(watch && { 'X-Watchlist': watch.join(',') }) };
    tab.pusher = new Pusher(app.key, {
      cluster: 'mt1',
      wsHost: '127.0.0.1',
      wsPort: server.port,
      forceTLS: false,
      enabledTransports: ['ws'],
      disableStats: true,
      ...(backend && {
        channelAuthorization: { endpoint: `${backend.url}/pusher/auth`, transport: 'ajax', headers },
        userAuthentication: { endpoint: `${backend.url}/pusher/user-auth`, transport: 'ajax', headers },
      }),
      ...options,
    });
    tab.watch(tab.pusher);
    t.after(() => tab.pusher.disconnect());
    return tab;
  }

  // watch records a client that was made elsewhere, by Echo for example.
  watch(pusher) {
    this.pusher = pusher;
    const { connection, user } = pusher;
    connection.bind('message', ({ event, data, channel, user_id }) => this.frames.push(event, data, { channel, user_id }));
    connection.bind('state_change', ({ current }) => this.states.push(current));
    connection.bind('error', (err) => this.errors.push(err?.data?.code ?? err?.error?.data?.code ?? err?.type, err));
    user.bind_global((event, data) => this.user.push(event, data));
    for (const event of ['online', 'offline']) {
      user.watchlist.bind(event, (data) => this.watchlist.push(event, data));
    }
  }

  // online waits for the next establishment and returns the socket id.
  async online(patience) {
    await this.states.next('connected', undefined, patience);
    return this.pusher.connection.socket_id;
  }

  get socketId() {
    return this.pusher.connection.socket_id;
  }

  // subscribe returns the channel's own events, recorded from before the frame
  // leaves.
  subscribe(channel) {
    const events = new Events(`${this.name}, ${channel}`);
    const subscription = this.pusher.subscribe(channel);
    subscription.bind_global((event, data) => events.push(event, data));
    events.channel = subscription;
    return events;
  }

  // join subscribes and waits for success. data is what the page is handed with it.
  async join(channel) {
    const events = this.subscribe(channel);
    events.joined = (await events.next('pusher:subscription_succeeded')).data;
    return events;
  }

  // settled resolves when the server has executed all that this tab sent before:
  // it joins a channel that nobody else knows.
  async settled() {
    const room = `settled-${process.pid}-${++rooms}`;
    await this.join(room);
    this.pusher.unsubscribe(room);
  }
}

// hasGivenUp tells whether pusher-js stays away: no further attempt is planned.
export function hasGivenUp(tab) {
  return tab.pusher.connection.state === 'disconnected' && !tab.pusher.connection.retryTimer;
}

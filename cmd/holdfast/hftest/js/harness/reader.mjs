// Reader is a tab with the recovery plug-in, and a ledger of each of its channels.

import { holdfastRecovery } from '@holdfast-edge/recovery';
import { Ledger } from './press.mjs';
import { Tab } from './tab.mjs';

export class Reader {
  // ledgers: channel -> Ledger.
  ledgers = new Map();
  // holes: how often the plug-in had to subscribe again because a number was missing.
  // The server never makes it do so.
  holes = 0;

  // open connects; joined() waits. line is the server, or a proxy before it. stock: the
  // page does without the plug-in.
  static open(t, line, { name = 'reader', channels = [], storage = null, stock = false, ...options } = {}) {
    const reader = new Reader();
    reader.name = name;
    reader.tab = Tab.open(t, line, { name, ...options });
    if (!stock) reader.install(reader.tab.pusher, storage);
    for (const channel of channels) reader.subscribe(channel);
    t.after(() => reader.close());
    return reader;
  }

  // install gives a client, which Echo may have made, the plug-in.
  install(pusher, storage = null) {
    const send = pusher.send_event;
    pusher.send_event = (event, ...rest) => {
      if (event === 'pusher:unsubscribe') this.holes++; // no test does
      return send.call(pusher, event, ...rest);
    };
    this.recovery = holdfastRecovery(pusher, { storage, onGap: (channel, reason) => this.ledger(channel).gap(reason) });
  }

  ledger(channel) {
    if (!this.ledgers.has(channel)) this.ledgers.set(channel, new Ledger(this.name, channel));
    return this.ledgers.get(channel);
  }

  subscribe(channel) {
    const ledger = this.ledger(channel);
    this.tab.subscribe(channel).channel.bind('tick', (data) => ledger.event(data));
  }

  // joined waits for the next success of each of its channels.
  async joined(channels = [...this.ledgers.keys()]) {
    const missing = new Set(channels);
    while (missing.size) {
      const { channel } = await this.tab.frames.next('pusher_internal:subscription_succeeded', (_, r) => missing.has(r.channel));
      missing.delete(channel);
    }
  }

  // returns waits until all channels are joined on another connection.
  async returns(before) {
    do await this.joined();
    while (this.tab.socketId === before);
  }

  // reaches waits for the last event of each of its channels.
  async reaches(press) {
    for (const [channel, ledger] of this.ledgers) await ledger.reaches(press.last.get(channel));
  }

  // counts waits until a presence channel has that many members.
  async counts(channel, members) {
    while (this.tab.pusher.channel(channel).members.count !== members) {
      await this.tab.frames.next('pusher_internal:member_added', (_, r) => r.channel === channel);
    }
  }

  position(channel) {
    return this.recovery.position(channel);
  }

  // close is what becomes of a page that is left: its position is written.
  close() {
    this.recovery?.stop();
    this.tab.pusher.disconnect();
  }
}

// Storage is a sessionStorage that two readers, one after the other, can share.
export class Storage {
  #items = new Map();

  getItem(name) {
    return this.#items.get(name) ?? null;
  }

  setItem(name, value) {
    this.#items.set(name, value);
  }
}

// Recovery for an unmodified pusher-js 8: it keeps the position (epoch, seq) of every
// channel, asks for what was missed when a subscription comes back, drops what comes
// twice, and calls onGap when it cannot be proved that nothing is missing.
// README lists what it relies on inside pusher-js; what is missing is refused.

import { isPosition, openRecord, pageStorage, parse } from './record.js';

const SWALLOW = Symbol('swallow');
const installed = new WeakSet(); // Pusher instances

export function holdfastRecovery(pusher, { onGap, storage = pageStorage() } = {}) {
  for (const path of ['key', 'send_event', 'unsubscribe', 'allChannels', 'connection.bind', 'connection.unbind']) {
    need(path.split('.').reduce((object, name) => object?.[name], pusher), `pusher.${path}`);
  }
  if (pusher.connection.connection) hookable();
  if (installed.has(pusher)) throw new Error('holdfastRecovery: this Pusher has it already; call stop() first');
  installed.add(pusher);

  const record = openRecord(storage, pusher.key);
  const positions = record.positions; // channel -> {epoch, seq}: the last event handed to pusher-js
  // channel -> {line: transport of its last success, socketId: its socket then,
  //   request, asked: the last subscribe sent and the position in it,
  //   open: subscribes without an answer, the first `stale` of them abandoned,
  //   retried: the position behind which a hole was met}
  const subs = new Map();
  let hooked = null; // the transport whose frames are seen
  let unhook = () => {};
  let stopped = false;

  function hookable() {
    const transport = pusher.connection.connection?.transport;
    need(typeof transport?.emit === 'function', 'pusher.connection.connection.transport.emit');
    return transport;
  }

  // hook sees the raw frames of the present line before pusher-js does. A line that has
  // been replaced may still speak: pusher-js no longer listens, so nothing may move.
  function hook() {
    const transport = hookable();
    if (transport === hooked) return;
    hooked = transport;
    for (const sub of subs.values()) sub.open = sub.stale = 0;
    unhook = replace(transport, 'emit', (emit) => function (event, message) {
      const listening = !stopped && transport === pusher.connection.connection?.transport;
      const frame = listening && event === 'message' ? parse(() => message.data) : null;
      const verdict = typeof frame?.channel === 'string' ? follow(frame) : null;
      if (verdict === SWALLOW) return emit.call(this, 'activity');
      try {
        if (verdict) onGap?.(frame.channel, verdict);
      } finally {
        emit.apply(this, arguments);
      }
    });
  }

  // follow moves the position of the frame's channel before the application sees the
  // frame: what a handler does or throws cannot undo it. It returns SWALLOW, the reason
  // of a gap, or nothing.
  function follow(frame) {
    const { event, channel, position, seq, reason } = frame;
    const sub = subs.get(channel);
    const at = positions.get(channel);
    const success = event === 'pusher_internal:subscription_succeeded';
    if (success || event === 'pusher:subscription_error') {
      if (sub?.open) sub.open--;
      if (sub?.stale) return sub.stale--, SWALLOW;
      return success && joined(frame, at, subOf(channel));
    }
    const moved = event === 'pusher_internal:position' && isPosition(position);
    if (!sub || !(moved || Number.isSafeInteger(seq)) || frame.cached) return null;
    if (sub.open) return SWALLOW; // of the subscription that is being replaced
    if (!moved) return at && step(channel, at, sub, seq);
    if (!reason && position.epoch === at?.epoch) return step(channel, at, sub, position.seq);
    move(channel, position);
    return reason ?? (at && 'epoch');
  }

  function step(channel, at, sub, seq) {
    if (seq <= at.seq) return SWALLOW;
    if (seq > at.seq + 1 && sub.request && sub.retried !== at) {
      // A hole: subscribe again from before it. The answer tells whether it closes.
      sub.retried = at;
      send.call(pusher, 'pusher:unsubscribe', { channel });
      subscribe(sub.request);
      return SWALLOW;
    }
    move(channel, { epoch: at.epoch, seq });
    return seq > at.seq + 1 && 'unavailable';
  }

  function joined({ channel, position, recovered, replayed = 0, reason }, at, sub) {
    const again = at || (sub.line && sub.line !== hooked); // otherwise there is nothing to lose yet
    sub.line = hooked;
    sub.socketId = pusher.connection.socket_id;
    if (!isPosition(position)) {
      drop(channel);
      return again && (reason ?? 'off');
    }
    const { epoch, seq } = position;
    const head = seq + replayed;
    if (at && recovered !== false && epoch === at.epoch && seq <= at.seq && at.seq <= head) return null;
    // Recovered from a position that the application has forgotten since: begin anew.
    move(channel, !at && sub.asked && recovered ? { epoch, seq: head } : position);
    return again && (reason ?? 'unavailable');
  }

  function subscribe(data) {
    if (!pusher.connection.connection?.transport?.emit) return send.call(pusher, 'pusher:subscribe', data);
    hook(); // a handler of the application may have kept "connected" from coming here
    const sub = subOf(data.channel);
    const at = positions.get(data.channel);
    const recover = data.recover ?? (at && { ...at, ...(sub.socketId && { socket_id: sub.socketId }) });
    Object.assign(sub, { request: data, asked: at, open: sub.open + 1 });
    return send.call(pusher, 'pusher:subscribe', recover ? { ...data, recover } : data);
  }

  function subOf(channel) {
    if (!subs.has(channel)) subs.set(channel, { open: 0, stale: 0 });
    return subs.get(channel);
  }

  function move(channel, { epoch, seq }) {
    positions.delete(channel); // to the end: the order is that of the last move
    positions.set(channel, Object.freeze({ epoch, seq }));
    record.changed();
  }

  function drop(channel) {
    if (positions.delete(channel)) record.changed();
  }

  function forget(channel, left) {
    drop(channel);
    const sub = subs.get(channel);
    if (!sub?.open) subs.delete(channel);
    else Object.assign(sub, { line: null, socketId: null, retried: null, stale: left ? sub.open : sub.stale });
  }

  const send = pusher.send_event;
  const undo = [
    replace(pusher, 'send_event', () => function (event, data, ...rest) {
      if (!stopped && event === 'pusher:subscribe' && data?.channel) return subscribe(data);
      if (!stopped && event === 'pusher:unsubscribe') forget(data?.channel, true);
      return send.call(pusher, event, data, ...rest);
    }),
    replace(pusher, 'unsubscribe', (unsubscribe) => function (channel) {
      if (!stopped) forget(channel); // pusher-js sends no frame while offline or unanswered
      return unsubscribe.call(pusher, channel);
    }),
  ];
  pusher.connection.bind('connected', hook);
  if (pusher.connection.connection) {
    hook();
    // Too late for these: where they stand was said before anybody listened.
    for (const channel of [...pusher.allChannels(), pusher.user?.serverToUserChannel]) {
      if (!channel?.subscribed) continue;
      subOf(channel.name).line = hooked;
      if (positions.has(channel.name)) queueMicrotask(() => onGap?.(channel.name, 'unavailable'));
      drop(channel.name);
    }
  }
  return {
    position: (channel) => positions.get(channel) ?? null,
    stop() {
      if (stopped) return;
      stopped = true;
      for (const put of [unhook, ...undo]) put();
      pusher.connection.unbind('connected', hook);
      installed.delete(pusher);
      record.close();
    },
  };
}

// replace puts make(former) in the place of object[name]. What it returns puts the
// former back, unless somebody has put something over it.
function replace(object, name, make) {
  const former = object[name];
  const mine = (object[name] = make(former));
  return () => {
    if (object[name] === mine) object[name] = former;
  };
}

function need(there, what) {
  if (!there) throw new Error(`holdfastRecovery: ${what} is missing; it takes a Pusher of pusher-js 8 (Echo: echo.connector.pusher)`);
}

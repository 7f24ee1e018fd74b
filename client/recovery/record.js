// Where the positions of a page are kept, and what a position is.

const KEPT = 1000; // channels in the storage; beyond it those that moved longest ago go
const WRITE_AFTER = 200; // ms from the first change to the write; pagehide does not wait

// The names of the records in use here, whichever copy of this module uses them.
const names = (globalThis[Symbol.for('holdfast.records')] ??= new Set());

// openRecord holds the positions of one Pusher. They are stored as [[channel, epoch,
// seq], ...], the last moved last. A storage that fails costs the recovery after a
// reload, never a frame.
export function openRecord(storage, key) {
  const first = `holdfast:${key}${framePath()}`;
  let name = first;
  for (let n = 2; names.has(name); n++) name = `${first}:${n}`;
  names.add(name);

  const stored = parse(() => storage?.getItem(name));
  const rows = (Array.isArray(stored) ? stored.slice(-KEPT) : []).filter(Array.isArray);
  const positions = new Map(rows
    .map(([channel, epoch, seq]) => [channel, Object.freeze({ epoch, seq })])
    .filter(([channel, position]) => typeof channel === 'string' && isPosition(position)));
  let timer = null;
  const flush = () => {
    if (timer === null) return;
    clearTimeout(timer);
    timer = null;
    try {
      storage.setItem(name, JSON.stringify([...positions].slice(-KEPT).map(([channel, at]) => [channel, at.epoch, at.seq])));
    } catch {
      // The next change tries again.
    }
  };
  globalThis.addEventListener?.('pagehide', flush);
  return {
    positions,
    changed() {
      if (!storage || timer !== null) return;
      timer = setTimeout(flush, WRITE_AFTER);
      timer.unref?.(); // Node: positions do not keep a process alive
    },
    close() {
      flush();
      globalThis.removeEventListener?.('pagehide', flush);
      names.delete(name);
    },
  };
}

// framePath is "" in a page, "/0" in its first frame and so on: frames of one origin
// share the sessionStorage of the page around them, but not what they have seen.
function framePath() {
  let path = '';
  for (let frame = globalThis; frame.parent && frame.parent !== frame; frame = frame.parent) {
    let n = 0;
    while (n < frame.parent.length && frame.parent[n] !== frame) n++;
    path = `/${n}${path}`;
  }
  return path;
}

// pageStorage is the default: it belongs to one tab and survives a reload.
export function pageStorage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null; // where storage is blocked, looking at it throws
  }
}

// parse returns null for what cannot be read or is no JSON.
export function parse(read) {
  try {
    const text = read();
    return typeof text === 'string' ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

export function isPosition(value) {
  return typeof value?.epoch === 'string' && Number.isSafeInteger(value.seq) && value.seq >= 0;
}

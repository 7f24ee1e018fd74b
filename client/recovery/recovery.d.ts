/** The last event that the application has been handed: its channel's epoch and the number of the event. */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
}

/**
 * Why it cannot be proved that nothing is missing.
 *
 * - `expired`: what was missed is older than what the server keeps
 * - `epoch`: the server itself lost continuity
 * - `ahead`: the server knows less than this page has seen
 * - `too_many`: more was missed than the server replays
 * - `unavailable`: the server cannot tell, or what it says proves nothing
 * - `off`: the channel has no history, or the server no recovery
 * - `malformed`: the stored position is none
 */
export type GapReason =
  | 'expired' | 'epoch' | 'ahead' | 'too_many' | 'unavailable' | 'off' | 'malformed'
  | (string & {});

/** What positions are stored in: sessionStorage, localStorage, or anything like them. Synchronous. */
export interface RecoveryStorage {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
}

export interface RecoveryOptions {
  /**
   * Called once for each loss, before the application is handed the frame that told of
   * it. Fetch the channel's state anew here.
   */
  onGap?: (channel: string, reason: GapReason) => void;
  /** Default: sessionStorage, where there is one. null: positions die with the page. */
  storage?: RecoveryStorage | null;
}

export interface Recovery {
  /** Where the channel stands; null: not known. */
  position(channel: string): Position | null;
  /** Writes the positions and gives pusher-js back as it was. */
  stop(): void;
}

/** A `Pusher` of pusher-js 8. */
export interface PusherLike {
  readonly key: string;
  connection: any;
  send_event(event: string, data: any, channel?: string): boolean;
  unsubscribe(channel: string): void;
  allChannels(): unknown[];
}

/**
 * Gives the Pusher instance recovery by positions, as holdfast serves it. Call it once,
 * right after the instance is made and before the first subscribe.
 *
 * @throws if the instance is not of pusher-js 8, or has recovery already
 */
export function holdfastRecovery(pusher: PusherLike, options?: RecoveryOptions): Recovery;

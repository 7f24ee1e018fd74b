// The plug-in's tests wait for events in the same way.
export * from '../../../../../client/recovery/harness/events.mjs';

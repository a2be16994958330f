// What the commands share: the lines they print, their times, their end.

import { performance } from 'node:perf_hooks'

const PINGS = 3
const STOP_TIMEOUT_MS = 3_000

export async function pingPeer (node, connection, signal) {
  const pings = []
  for (let i = 0; i < PINGS; i++) {
    pings.push(await timed(() => node.services.ping.ping(connection.remotePeer, { signal })))
  }
  return pings
}

export async function timed (work) {
  const start = performance.now()
  await work()
  return round(performance.now() - start)
}

// `/yamux/1.0.0` -> `yamux`
export function shortName (protocol) {
  return protocol.split('/')[1]
}

export function round (ms) {
  return Math.round(ms * 1000) / 1000
}

// A failed dial is one error per address, the reason inside; a stream that ends while it is being written is an event.
export function describe (err) {
  if (err instanceof Event) return err.error == null ? `the stream ended (${err.type})` : describe(err.error)
  const inner = (err.errors ?? []).map(describe)
  const own = err.name === 'Error' ? err.message : `${err.name}: ${err.message}`
  return inner.length === 0 ? own : `${own} (${inner.join('; ')})`
}

export async function stop (node) {
  const late = new Promise(resolve => setTimeout(resolve, STOP_TIMEOUT_MS).unref())
  const stopped = node.stop().catch(err => console.error(`stop: ${err.message}`))
  await Promise.race([stopped, late])
}

export function print (value) {
  return new Promise(resolve => process.stdout.write(JSON.stringify(value) + '\n', resolve))
}

/** SIGTERM and SIGINT close the node; the program then ends with code 0. */
export function stopAtSignal (node) {
  let ending = false
  const end = async signal => {
    if (ending) return
    ending = true
    console.error(`${signal}: closing`)
    await stop(node)
    process.exit(0)
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
}

/** Says where the node listens, whatever it announces. */
export async function printListening (node, listen) {
  const all = node.components.transportManager.getAddrs().map(address => `${address}/p2p/${node.peerId}`)
  if (all.length === 0) throw new Error(`nothing listens on ${listen}`)
  await print({ listening: all[0], all })
}

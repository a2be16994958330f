// `relay`, `reserve` and `dial-circuit`: circuit relay v2, all three parts.

import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { multiaddr } from '@multiformats/multiaddr'
import { describe, pingPeer, print, printListening, round, shortName, stop, stopAtSignal, timed } from './common.mjs'
import { ECHO, runEcho, serveEcho } from './echo.mjs'
import { startNode } from './node.mjs'

const DIAL_TIMEOUT_MS = 20_000
// Between two tries of a listener that lost its relay.
const AGAIN_MS = 500
// The limit that the library can't lift alone: it has both or none.
const UNLIMITED_MS = 24 * 3600 * 1000
const UNLIMITED_BYTES = 1n << 50n

const SERVES = { maxInboundStreams: 1024, runOnLimitedConnection: true }

export async function relay (options) {
  const server = circuitRelayServer({
    reservations: {
      maxReservations: options.reservations,
      reservationTtl: options.ttl * 1000,
      applyDefaultLimit: options.dataLimit > 0 || options.duration > 0,
      defaultDurationLimit: options.duration > 0 ? options.duration * 1000 : UNLIMITED_MS,
      defaultDataLimit: options.dataLimit > 0 ? BigInt(options.dataLimit) : UNLIMITED_BYTES
    },
    maxInboundHopStreams: 1024
  })
  const node = await startNode(options, { services: { relay: server } })
  await node.handle(ECHO, serveEcho, SERVES)
  stopAtSignal(node)
  await printListening(node, options.listen)
}

// Renewals are the library's, half a minute after the reservation at the soonest; a relay that was lost it gives up, and
// this reserves again.
export async function reserve (options) {
  const node = await startNode(options, { transports: [circuitRelayTransport({ reservationCompletionTimeout: DIAL_TIMEOUT_MS })] })
  await node.handle(ECHO, serveEcho, SERVES)
  stopAtSignal(node)
  const through = multiaddr(options.target).encapsulate('/p2p-circuit')
  // The library tells nobody else: neither of these two is documented.
  const { transportManager } = node.components
  const store = transportManager.getTransports().find(transport => transport.reservationStore != null).reservationStore
  let held = false
  store.addEventListener('relay:created-reservation', ({ detail }) => {
    const renewed = held
    held = true
    const [address] = detail.details.reservation.addrs
    const circuit = `${multiaddr(address)}/p2p-circuit/p2p/${node.peerId}`
    print({ reserved: true, circuit, peer: node.peerId.toString(), renewed })
  })
  store.addEventListener('relay:removed', async () => {
    held = false
    while (!held) {
      await sleep(AGAIN_MS)
      await transportManager.listen([through]).catch(err => console.error(`reserve: ${describe(err)}`))
    }
  })
  try {
    await transportManager.listen([through])
  } catch (err) {
    await print({ reserved: false, error: describe(err) })
    await stop(node)
    return 1
  }
}

export async function dialCircuit (options) {
  const signal = AbortSignal.timeout(DIAL_TIMEOUT_MS + options.hold * 1000)
  let node
  try {
    node = await startNode(options, { transports: [circuitRelayTransport()] })
    const start = performance.now()
    const connection = await node.dial(multiaddr(options.target), { signal })
    const connected = performance.now()
    const pings = await pingPeer(node, connection, signal)
    let bytes
    const ms = await timed(async () => { bytes = await runEcho(connection, options.size, signal) })
    let held, after
    if (options.hold > 0) {
      held = await timed(() => idle(connection, options.hold * 1000))
      after = await pingPeer(node, connection, signal)
    }
    await print({
      ok: true,
      peer: connection.remotePeer.toString(),
      security: shortName(connection.encryption),
      muxer: shortName(connection.multiplexer),
      connect_ms: round(connected - start),
      ping_ms: pings,
      echo: { bytes, ms },
      held_ms: held,
      ping_after_ms: after,
      limited: connection.limits != null,
      upgraded: false
    })
    return 0
  } catch (err) {
    await print({ ok: false, error: describe(err) })
    return 1
  } finally {
    if (node != null) await stop(node)
  }
}

function idle (connection, ms) {
  const start = performance.now()
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    connection.addEventListener('close', () => {
      clearTimeout(timer)
      reject(new Error(`the circuit was closed after ${((performance.now() - start) / 1000).toFixed(1)} s of idleness`))
    })
  })
}

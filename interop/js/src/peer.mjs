// A js-libp2p peer: `listen` serves ping and echo, `dial` runs both against an address; circuits are in circuit.mjs. JSON
// lines on stdout, everything else on stderr. The command line is described in ../README.md.

import './polyfill.mjs'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { dialCircuit, relay, reserve } from './circuit.mjs'
import { describe, pingPeer, print, printListening, round, shortName, stop, stopAtSignal, timed } from './common.mjs'
import { ECHO, runEcho, serveEcho } from './echo.mjs'
import { startNode } from './node.mjs'
import { parse, USAGE, UsageError } from './options.mjs'

const DIAL_TIMEOUT_MS = 20_000
// Served from a while after the connection on, so that identify has something to push.
const LATER = '/interop/later/1.0.0'
const LATER_MS = 2_000

async function listen (options) {
  const node = await startNode(options)
  await node.handle(ECHO, serveEcho, { maxInboundStreams: 1024 })
  node.addEventListener('peer:identify', ({ detail }) => {
    print({ identified: told(detail) })
    if (options.later) setTimeout(() => node.handle(LATER, serveEcho), LATER_MS)
    options.later = false
  })
  stopAtSignal(node)
  await printListening(node, options.listen)
}

async function dial (options) {
  const signal = AbortSignal.timeout(DIAL_TIMEOUT_MS + options.hold * 1000)
  let node
  try {
    if (options.lazy) throw new Error('js-libp2p can not select lazily: its dialer always waits for the answer')
    node = await startNode(options)
    let identity = {}
    node.addEventListener('peer:identify', ({ detail }) => { identity = { ...identity, ...told(detail) } })
    const start = performance.now()
    const connection = await node.dial(multiaddr(options.target), { signal })
    const connected = performance.now()
    const pings = await pingPeer(node, connection, signal)
    let bytes
    const ms = await timed(async () => { bytes = await runEcho(connection, options.size, signal) })
    let held, after
    if (options.hold > 0) {
      held = await timed(async () => {
        await sleep(Math.min(LATER_MS, options.hold * 1000))
        await node.handle(LATER, serveEcho)
        await sleep(Math.max(0, options.hold * 1000 - LATER_MS))
      })
      if (connection.status !== 'open') throw new Error('the connection was closed while it was idle')
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
      identify: identity
    })
    return 0
  } catch (err) {
    await print({ ok: false, error: describe(err) })
    return 1
  } finally {
    if (node != null) await stop(node)
  }
}

// What an identify message, or a push, said.
function told (identify) {
  const said = { peer: identify.peerId.toString() }
  if (identify.agentVersion != null) said.agent = identify.agentVersion
  if (identify.protocols.length > 0) said.protocols = identify.protocols
  if (identify.listenAddrs.length > 0) said.addresses = identify.listenAddrs.map(address => address.toString())
  return said
}

// What serves until a signal has no code; what reports has one.
const COMMANDS = { listen, dial, relay, reserve, 'dial-circuit': dialCircuit }

try {
  const options = parse(process.argv.slice(2))
  const code = await COMMANDS[options.command](options)
  if (code != null) process.exit(code)
} catch (err) {
  console.error(err instanceof UsageError ? `${err.message}\n${USAGE}` : describe(err))
  process.exit(err instanceof UsageError ? 2 : 1)
}

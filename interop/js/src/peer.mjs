// A js-libp2p peer: `listen` serves ping and echo, `dial` runs both against an address. One JSON line on stdout,
// everything else on stderr. The command line is described in ../README.md.

import './polyfill.mjs'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { ECHO, runEcho, serveEcho } from './echo.mjs'
import { startNode } from './node.mjs'
import { parse, USAGE, UsageError } from './options.mjs'

const PINGS = 3
const DIAL_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 3_000
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
  const [address] = node.getMultiaddrs()
  if (address == null) throw new Error(`nothing listens on ${options.listen}`)
  await print({ listening: address.toString() })
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

async function pingPeer (node, connection, signal) {
  const pings = []
  for (let i = 0; i < PINGS; i++) {
    pings.push(await timed(() => node.services.ping.ping(connection.remotePeer, { signal })))
  }
  return pings
}

// What an identify message, or a push, said.
function told (identify) {
  const said = { peer: identify.peerId.toString() }
  if (identify.agentVersion != null) said.agent = identify.agentVersion
  if (identify.protocols.length > 0) said.protocols = identify.protocols
  if (identify.listenAddrs.length > 0) said.addresses = identify.listenAddrs.map(address => address.toString())
  return said
}

async function timed (work) {
  const start = performance.now()
  await work()
  return round(performance.now() - start)
}

// `/yamux/1.0.0` -> `yamux`
function shortName (protocol) {
  return protocol.split('/')[1]
}

function round (ms) {
  return Math.round(ms * 1000) / 1000
}

// A failed dial is one error per address, the reason inside; a stream that ends while it is being written is an event.
function describe (err) {
  if (err instanceof Event) return err.error == null ? `the stream ended (${err.type})` : describe(err.error)
  const inner = (err.errors ?? []).map(describe)
  const own = err.name === 'Error' ? err.message : `${err.name}: ${err.message}`
  return inner.length === 0 ? own : `${own} (${inner.join('; ')})`
}

async function stop (node) {
  const late = new Promise(resolve => setTimeout(resolve, STOP_TIMEOUT_MS).unref())
  const stopped = node.stop().catch(err => console.error(`stop: ${err.message}`))
  await Promise.race([stopped, late])
}

function print (value) {
  return new Promise(resolve => process.stdout.write(JSON.stringify(value) + '\n', resolve))
}

try {
  const options = parse(process.argv.slice(2))
  if (options.command === 'listen') await listen(options)
  else process.exit(await dial(options))
} catch (err) {
  console.error(err instanceof UsageError ? `${err.message}\n${USAGE}` : describe(err))
  process.exit(err instanceof UsageError ? 2 : 1)
}

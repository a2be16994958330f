// Builds the js-libp2p node that the options ask for.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify, identifyPush } from '@libp2p/identify'
import { mplex } from '@libp2p/mplex'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { plaintext } from '@libp2p/plaintext'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

// The default of each limit is there against strangers; a test run opens more than that in its first second:
// five inbound connections a second per address, five new mplex streams a second, two inbound ping streams.
const INBOUND_CONNECTIONS_PER_SECOND = 1000
const MPLEX_NEW_STREAMS_PER_SECOND = 1000
const PING_STREAMS = 16

const ENCRYPTERS = { noise, plaintext }
const MUXERS = {
  yamux,
  mplex: () => mplex({ disconnectThreshold: MPLEX_NEW_STREAMS_PER_SECOND })
}

export async function startNode (options, { transports = [], services = {} } = {}) {
  const listens = options.command === 'listen' || options.command === 'relay'
  return createLibp2p({
    privateKey: await identity(options.seed),
    addresses: {
      listen: listens ? [options.listen] : [],
      announce: options.announce == null ? [] : [options.announce]
    },
    transports: [tcp(), ...transports],
    connectionEncrypters: options.security.map(name => ENCRYPTERS[name]()),
    streamMuxers: options.muxers.map(name => MUXERS[name]()),
    connectionProtector: options.psk == null ? undefined : preSharedKey({ psk: readFileSync(options.psk) }),
    connectionManager: { inboundConnectionThreshold: INBOUND_CONNECTIONS_PER_SECOND },
    services: {
      identify: identify(),
      identifyPush: identifyPush(),
      ping: ping({ maxInboundStreams: PING_STREAMS, maxOutboundStreams: PING_STREAMS }),
      ...services
    }
  })
}

// The language is part of the seed: peers of two languages with the same number are still two peers.
async function identity (seed) {
  if (seed == null) return generateKeyPair('Ed25519')
  return generateKeyPairFromSeed('Ed25519', createHash('sha256').update(`interop js ${seed}`).digest())
}

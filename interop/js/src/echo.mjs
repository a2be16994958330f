// /echo/1.0.0: everything that is read is written back; after the reader's end, the writing side is closed.

import { randomBytes } from 'node:crypto'

export const ECHO = '/echo/1.0.0'
const CHUNK = 64 * 1024

/** The listener's side. */
export async function serveEcho (stream) {
  try {
    for await (const chunk of chunks(stream)) await send(stream, chunk)
    await stream.close()
  } catch (err) {
    console.error(`echo stream ${stream.id}: ${err.message}`)
    stream.abort(err)
  }
}

// Iterating over a stream hears of its end only when that comes later. A lazy dialer's may be there already, together with
// all of its bytes: then these come in one piece, and nothing after it.
async function * chunks (stream) {
  if (stream.remoteWriteStatus !== 'closed') {
    yield * stream
    return
  }
  if (stream.readBuffer.byteLength === 0) return
  for await (const chunk of stream) {
    yield chunk
    return
  }
}

/**
 * The dialer's side: writes and reads at the same time, closes its writing side, and reads to the end.
 * Resolves to the number of bytes that came back; rejects at the first byte that differs.
 */
export async function runEcho (connection, size, signal) {
  const stream = await connection.newStream(ECHO, { signal, runOnLimitedConnection: true })
  const onAbort = () => stream.abort(signal.reason)
  signal.addEventListener('abort', onAbort)
  try {
    const sent = randomBytes(size)
    const [, received] = await Promise.all([writeAll(stream, sent, signal), readAndCompare(stream, sent)])
    if (received !== size) throw new Error(`echo ended after ${received} of ${size} bytes`)
    return received
  } catch (err) {
    stream.abort(err)
    throw err
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

async function writeAll (stream, bytes, signal) {
  for (let at = 0; at < bytes.byteLength; at += CHUNK) {
    await send(stream, bytes.subarray(at, at + CHUNK))
  }
  await stream.close({ signal })
}

async function readAndCompare (stream, sent) {
  let received = 0
  for await (const chunk of stream) {
    const bytes = chunk.subarray()
    const wanted = sent.subarray(received, received + bytes.byteLength)
    if (!wanted.equals(bytes)) throw new Error(`echo differs within bytes ${received} to ${received + bytes.byteLength}`)
    received += bytes.byteLength
  }
  return received
}

async function send (stream, bytes) {
  if (!stream.send(bytes)) await stream.onDrain()
}

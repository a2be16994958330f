// The command line that every interop peer shares; see ../README.md.

export const USAGE = `usage:
  peer listen [--listen MULTIADDR] [options]
  peer dial MULTIADDR [--size BYTES] [options]
options:
  --security noise|plaintext   one, or several by preference, separated by commas (default noise)
  --muxer yamux|mplex          likewise (default yamux)
  --psk FILE                   private network key, in the swarm.key format
  --seed N                     a fixed identity for tests
  --plain                      wait for each selection's answer (the only way js-libp2p dials)
  --lazy                       refused, for the same reason
  --hold SECONDS               dial: stay idle afterwards, then ping again
  --later                      listen: serve one more protocol a while after the first connection`

/** Thrown for a command line that can't be used; the program then ends with code 2. */
export class UsageError extends Error {}

const SECURITY = ['noise', 'plaintext']
const MUXERS = ['yamux', 'mplex']

export function parse (argv) {
  const [command, ...rest] = argv
  if (command !== 'listen' && command !== 'dial') {
    throw new UsageError(`the first argument is "listen" or "dial", not "${command ?? ''}"`)
  }
  const options = {
    command,
    target: undefined,
    listen: '/ip4/127.0.0.1/tcp/0',
    security: ['noise'],
    muxers: ['yamux'],
    psk: undefined,
    seed: undefined,
    size: 1024 * 1024,
    lazy: false,
    hold: 0,
    later: false
  }
  while (rest.length > 0) {
    const arg = rest.shift()
    const value = () => {
      if (rest.length === 0) throw new UsageError(`${arg} needs a value`)
      return rest.shift()
    }
    switch (arg) {
      case '--listen': options.listen = value(); break
      case '--security': options.security = list(arg, value(), SECURITY); break
      case '--muxer': options.muxers = list(arg, value(), MUXERS); break
      case '--psk': options.psk = value(); break
      case '--seed': options.seed = number(arg, value()); break
      case '--size': options.size = number(arg, value()); break
      case '--hold': options.hold = number(arg, value()); break
      case '--later': options.later = true; break
      case '--lazy': options.lazy = true; break
      case '--plain': options.lazy = false; break
      default:
        if (command !== 'dial' || options.target != null || arg.startsWith('-')) {
          throw new UsageError(`unexpected argument "${arg}"`)
        }
        options.target = arg
    }
  }
  if (command === 'dial' && options.target == null) throw new UsageError('dial needs a multiaddr')
  return options
}

function list (name, text, known) {
  const names = text.split(',')
  const bad = names.find(n => !known.includes(n))
  if (bad != null) throw new UsageError(`${name} takes ${known.join(' or ')}, not "${bad}"`)
  return names
}

function number (name, text) {
  const n = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n)) throw new UsageError(`${name} takes a whole number, not "${text}"`)
  return n
}

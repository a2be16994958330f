// The command line that every interop peer shares; see ../README.md.

export const USAGE = `usage:
  peer listen | dial MULTIADDR
  peer relay | reserve RELAY | dial-circuit MULTIADDR    [options]
options:
  --security noise|plaintext   one, or several by preference, separated by commas (default noise)
  --muxer yamux|mplex          likewise (default yamux)
  --psk FILE                   private network key, in the swarm.key format
  --seed N                     a fixed identity for tests
  --listen MULTIADDR           listen, relay: where (default /ip4/127.0.0.1/tcp/0)
  --later                      listen: serve one more protocol a while after the first connection
  --size BYTES                 dial, dial-circuit: how much to echo (default 1 MiB)
  --plain                      dial: wait for each selection's answer (the only way js-libp2p dials)
  --lazy                       dial: refused, for the same reason
  --hold SECONDS               dial, dial-circuit: stay idle afterwards, then ping again
  --data-limit BYTES           relay: of a circuit; 0, the default, is no limit
  --duration SECONDS           relay: of a circuit; likewise
  --reservations N             relay: how many at once (default 1024)
  --ttl SECONDS                relay: how long a reservation lives (default 3600)
  --announce MULTIADDR         relay: say this instead of the listening address`

/** Thrown for a command line that can't be used; the program then ends with code 2. */
export class UsageError extends Error {}

const SECURITY = ['noise', 'plaintext']
const MUXERS = ['yamux', 'mplex']
const WITH_TARGET = ['dial', 'reserve', 'dial-circuit']
const COMMANDS = ['listen', 'relay', ...WITH_TARGET]
// Which commands take an option; what isn't here is taken by all of them.
const ONLY = {
  '--listen': ['listen', 'relay'],
  '--later': ['listen'],
  '--size': ['dial', 'dial-circuit'],
  '--plain': ['dial'],
  '--lazy': ['dial'],
  '--hold': ['dial', 'dial-circuit'],
  '--data-limit': ['relay'],
  '--duration': ['relay'],
  '--reservations': ['relay'],
  '--ttl': ['relay'],
  '--announce': ['relay']
}

export function parse (argv) {
  const [command, ...rest] = argv
  if (!COMMANDS.includes(command)) {
    throw new UsageError(`the first argument is one of ${COMMANDS.join(', ')}, not "${command ?? ''}"`)
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
    later: false,
    dataLimit: 0,
    duration: 0,
    reservations: 1024,
    ttl: 3600,
    announce: undefined
  }
  while (rest.length > 0) {
    const arg = rest.shift()
    const value = () => {
      if (rest.length === 0) throw new UsageError(`${arg} needs a value`)
      return rest.shift()
    }
    if (ONLY[arg]?.includes(command) === false) throw new UsageError(`${command} does not take ${arg}`)
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
      case '--data-limit': options.dataLimit = number(arg, value()); break
      case '--duration': options.duration = number(arg, value()); break
      case '--reservations': options.reservations = number(arg, value()); break
      case '--ttl': options.ttl = number(arg, value()); break
      case '--announce': options.announce = value(); break
      default:
        if (!WITH_TARGET.includes(command) || options.target != null || arg.startsWith('-')) {
          throw new UsageError(`unexpected argument "${arg}"`)
        }
        options.target = arg
    }
  }
  if (WITH_TARGET.includes(command) && options.target == null) throw new UsageError(`${command} needs a multiaddr`)
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

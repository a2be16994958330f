"""Builds the py-libp2p host that the options ask for."""

from hashlib import sha256
from pathlib import Path

from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.network.config import ConnectionConfig
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from options import Options

MUXERS = {"yamux": (YAMUX_PROTOCOL_ID, Yamux), "mplex": (MPLEX_PROTOCOL_ID, Mplex)}


def build_host(options: Options):
    keys = _identity(options.seed)
    host = new_host(
        key_pair=keys,
        sec_opt=dict(_security(name, keys) for name in options.security),
        muxer_opt=dict(MUXERS[name] for name in options.muxers),
        psk=None if options.psk is None else _read_psk(options.psk),
        listen_addrs=[Multiaddr(options.listen)] if options.listen else None,
        announce_addrs=[Multiaddr(options.announce)] if options.announce else None,
        connection_config=ConnectionConfig(),
    )
    # A failed dial is an answer here: by default it would be tried three times more.
    host.get_network().retry_config.max_retries = 0
    return host


def _security(name: str, keys: KeyPair):
    if name == "noise":
        static = create_noise_key_pair().private_key
        return NOISE_PROTOCOL_ID, NoiseTransport(keys, noise_privkey=static)
    return PLAINTEXT_PROTOCOL_ID, InsecureTransport(keys)


def _identity(seed: int | None) -> KeyPair:
    # The language is part of the seed: peers of two languages with the same number are still two peers.
    if seed is None:
        return create_new_key_pair()
    return create_new_key_pair(sha256(f"interop py {seed}".encode()).digest())


def _read_psk(path: Path) -> str:
    """The key of a swarm.key file, as the 64 hex digits that py-libp2p takes."""
    lines = path.read_text().split()
    if len(lines) != 3 or lines[:2] != ["/key/swarm/psk/1.0.0/", "/base16/"] or len(lines[2]) != 64:
        raise ValueError(f"{path} is no swarm.key file in base16")
    return lines[2]

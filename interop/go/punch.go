package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

// Circuits that become direct connections: `reserve --dcutr` and `dial-circuit --wait`.

// A node serves the protocol once it knows a public address of its own, and looks for that less and less often.
const seenTimeout = 10 * time.Second

func (o options) punches() bool { return o.dcutr || o.wait > 0 }

// clientOptions is where a client of a relay listens, and what else it is given.
func clientOptions(o options) (libp2p.Option, []libp2p.Option) {
	if !o.punches() {
		return libp2p.NoListenAddrs, []libp2p.Option{libp2p.EnableRelay()}
	}
	return libp2p.ListenAddrStrings(o.listen), []libp2p.Option{
		libp2p.EnableRelay(),
		libp2p.Transport(tcp.NewTCPTransport), // dials from the port that it listens on
		libp2p.EnableHolePunching(holepunch.WithTracer(&traced)),
	}
}

// beSeen connects to the relay, and waits until that has said how it sees us.
func beSeen(h host.Host, relay peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	if err := h.Connect(ctx, relay); err != nil {
		return err
	}
	for until := time.Now().Add(seenTimeout); time.Now().Before(until); time.Sleep(watch) {
		if slices.Contains(h.Mux().Protocols(), holepunch.Protocol) {
			return nil
		}
	}
	return errors.New("no public address after a connection to the relay: holes can't be punched")
}

// onDirect tells of each direct connection with anyone but the relay.
func onDirect(h host.Host, relay peer.ID, tell func(network.Conn)) {
	h.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, conn network.Conn) {
		if conn.RemotePeer() != relay && !isRelayed(conn.RemoteMultiaddr()) {
			tell(conn)
		}
	}})
}

func isRelayed(addr ma.Multiaddr) bool {
	_, err := addr.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

func dialUpgraded(o options, address string) (any, error) {
	target, err := peer.AddrInfoFromString(address)
	if err != nil {
		return nil, err
	}
	before, _ := ma.SplitFunc(target.Addrs[0], func(c ma.Component) bool { return c.Protocol().Code == ma.P_CIRCUIT })
	relay, err := peer.AddrInfoFromP2pAddr(before)
	if err != nil {
		return nil, err
	}
	addrs, more := clientOptions(o)
	h, err := newHost(o, addrs, more...)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if err := beSeen(h, *relay); err != nil {
		return nil, err
	}
	wait := time.Duration(o.wait * float64(time.Second))
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout+wait)
	defer cancel()
	limited := network.WithAllowLimitedConn(ctx, "interop")

	type upgrade struct {
		conn network.Conn
		at   time.Time
	}
	upgrades := make(chan upgrade, 16)
	onDirect(h, relay.ID, func(conn network.Conn) {
		select {
		case upgrades <- upgrade{conn, time.Now()}:
		default:
		}
	})
	h.Peerstore().AddAddrs(target.ID, target.Addrs, time.Hour)
	begin := time.Now()
	conn, err := h.Network().DialPeer(limited, target.ID)
	if err != nil {
		return nil, err
	}
	if !isRelayed(conn.RemoteMultiaddr()) {
		return nil, fmt.Errorf("the connection is direct: %s", conn.RemoteMultiaddr())
	}
	established := time.Now()
	r := &upgradeReport{report: &report{
		OK:        true,
		Peer:      conn.RemotePeer().String(),
		Security:  o.security,
		Muxer:     o.muxer,
		ConnectMs: ms(established.Sub(begin)),
	}}
	if r.PingMs, err = pingPeer(limited, h, target.ID); err != nil {
		return nil, err
	}
	if r.Echo, err = echo(limited, h, target.ID, o.size); err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	select {
	case up := <-upgrades:
		r.Upgraded, r.UpgradeMs, r.DirectAddr = true, ms(up.at.Sub(established)), up.conn.RemoteMultiaddr().String()
		if r.DirectEcho, err = echoDirect(ctx, h, target.ID, o.size); err != nil {
			return nil, fmt.Errorf("direct echo: %w", err)
		}
	case <-time.After(time.Until(established.Add(wait))):
		if r.Echo, err = echo(limited, h, target.ID, o.size); err != nil {
			return nil, fmt.Errorf("echo through the circuit, after no upgrade: %w", err)
		}
	}
	r.Identify = known(h, target.ID)
	r.Report = traced.all()
	return r, nil
}

type upgradeReport struct {
	*report
	Upgraded   bool        `json:"upgraded"`
	UpgradeMs  float64     `json:"upgrade_ms,omitempty"`
	DirectAddr string      `json:"direct_addr,omitempty"`
	DirectEcho *echoReport `json:"direct_echo,omitempty"`
	Report     []string    `json:"report"`
}

// echoDirect has no leave to go through a relay.
func echoDirect(ctx context.Context, h host.Host, id peer.ID, size int) (*echoReport, error) {
	if s, ok := h.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(id)
	}
	begin := time.Now()
	s, err := h.NewStream(ctx, id, echoProtocol)
	if err != nil {
		return nil, err
	}
	if isRelayed(s.Conn().RemoteMultiaddr()) {
		s.Reset()
		return nil, errors.New("the stream goes through the relay")
	}
	echoed, err := echoOver(ctx, s, size, begin)
	return &echoed, err
}

// What the library tells of its tries.
type trace struct {
	sync.Mutex
	events []string
}

var traced trace

func (t *trace) Trace(event *holepunch.Event) {
	t.Lock()
	defer t.Unlock()
	words := fmt.Sprintf("%s %+v", event.Type, event.Evt)
	t.events = append(t.events, words)
	fmt.Fprintln(os.Stderr, words)
}

func (t *trace) all() []string {
	t.Lock()
	defer t.Unlock()
	return slices.Clone(t.events)
}

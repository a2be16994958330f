package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
)

// Circuit relay v2: `relay`, `reserve` and `dial-circuit`.

const (
	many = 4096
	// Between two tries of a listener that lost its relay.
	again = 500 * time.Millisecond
	// How often an idle dialer looks whether its circuit is still there.
	watch = 50 * time.Millisecond
	// The limit that the library can't lift alone: it has both or none.
	unlimitedTime = 24 * time.Hour
	unlimitedData = 1 << 50
)

type relayLimits struct {
	data, duration, ttl int64
	reservations        int
}

func serveRelay(o options) error {
	more := []libp2p.Option{libp2p.DisableRelay()}
	if o.announce != "" {
		addr, err := ma.NewMultiaddr(o.announce)
		if err != nil {
			return err
		}
		more = append(more, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return []ma.Multiaddr{addr} }))
	}
	h, err := newHost(o, libp2p.ListenAddrStrings(o.listen), more...)
	if err != nil {
		return err
	}
	h.SetStreamHandler(echoProtocol, serveEcho)
	resources := relay.DefaultResources()
	resources.Limit = nil
	if o.limits.data > 0 || o.limits.duration > 0 {
		resources.Limit = &relay.RelayLimit{Duration: unlimitedTime, Data: unlimitedData}
		if o.limits.data > 0 {
			resources.Limit.Data = o.limits.data
		}
		if o.limits.duration > 0 {
			resources.Limit.Duration = time.Duration(o.limits.duration) * time.Second
		}
	}
	resources.ReservationTTL = time.Duration(o.limits.ttl) * time.Second
	resources.MaxReservations = o.limits.reservations
	resources.MaxCircuits = many
	resources.MaxReservationsPerIP = many
	resources.MaxReservationsPerASN = many
	everyAddress := relay.WithReservationAddressFilter(func(ma.Multiaddr) bool { return true })
	service, err := relay.New(h, relay.WithResources(resources), everyAddress)
	if err != nil {
		return err
	}
	defer service.Close()
	return listenUntilStopped(h)
}

// reserve renews at half of the time that is left: the library's own AutoRelay looks once a minute, too seldom for a
// short reservation. A lost relay is tried again and again.
func reserve(o options, address string) error {
	stop := stopSignal()
	through, err := peer.AddrInfoFromString(address)
	if err != nil {
		return err
	}
	addrs, more := clientOptions(o)
	h, err := newHost(o, addrs, more...)
	if err != nil {
		return err
	}
	defer h.Close()
	h.SetStreamHandler(echoProtocol, serveEcho)
	if o.dcutr {
		if err := beSeen(h, *through); err != nil {
			return err
		}
		onDirect(h, through.ID, func(conn network.Conn) {
			printLine(map[string]any{"direct": true, "peer": conn.RemotePeer().String(), "addr": conn.RemoteMultiaddr().String()})
		})
	}
	changes, err := h.EventBus().Subscribe(new(event.EvtPeerConnectednessChanged))
	if err != nil {
		return err
	}
	defer changes.Close()

	var renewal <-chan time.Time
	held, begun := false, false
	for {
		left, err := reserveOnce(h, *through, held)
		switch {
		case err == nil:
			held, begun, renewal = true, true, time.After(left/2)
		case !begun:
			return err
		default:
			fmt.Fprintln(os.Stderr, "reserve:", err)
			held, renewal = false, time.After(again)
		}
	wait:
		for {
			select {
			case <-stop:
				return nil
			case <-renewal:
				break wait
			case e := <-changes.Out():
				change := e.(event.EvtPeerConnectednessChanged)
				if change.Peer == through.ID && change.Connectedness == network.NotConnected {
					held, renewal = false, time.After(again)
				}
			}
		}
	}
}

// reserveOnce says what it has got, and returns how long that is good for.
func reserveOnce(h host.Host, through peer.AddrInfo, renewed bool) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	// A relay that restarts must not be left alone for longer than it takes.
	if s, ok := h.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(through.ID)
	}
	reservation, err := circuit.Reserve(ctx, h, through)
	if err != nil {
		return 0, err
	}
	by := reservation.Addrs
	if len(by) == 0 {
		by = []ma.Multiaddr{through.Addrs[0].Encapsulate(ma.StringCast("/p2p/" + through.ID.String()))}
	}
	printLine(map[string]any{
		"reserved": true,
		"circuit":  fmt.Sprintf("%s/p2p-circuit/p2p/%s", by[0], h.ID()),
		"peer":     h.ID().String(),
		"renewed":  renewed,
		"voucher":  reservation.Voucher != nil,
	})
	return time.Until(reservation.Expiration), nil
}

func dialCircuit(o options, address string) (any, error) {
	if o.size < 0 {
		return nil, errors.New("--size must not be negative")
	}
	if o.wait > 0 {
		return dialUpgraded(o, address)
	}
	target, err := peer.AddrInfoFromString(address)
	if err != nil {
		return nil, err
	}
	h, err := newHost(o, libp2p.NoListenAddrs, libp2p.EnableRelay())
	if err != nil {
		return nil, err
	}
	defer h.Close()
	hold := time.Duration(o.hold * float64(time.Second))
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout+hold)
	defer cancel()
	ctx = network.WithAllowLimitedConn(ctx, "interop")

	h.Peerstore().AddAddrs(target.ID, target.Addrs, time.Hour)
	begin := time.Now()
	conn, err := h.Network().DialPeer(ctx, target.ID)
	if err != nil {
		return nil, err
	}
	if _, err := conn.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT); err != nil {
		return nil, fmt.Errorf("the connection is direct: %s", conn.RemoteMultiaddr())
	}
	// The library keeps to itself what was agreed over a circuit; one of each was offered.
	r := &report{
		OK:        true,
		Peer:      conn.RemotePeer().String(),
		Security:  o.security,
		Muxer:     o.muxer,
		ConnectMs: ms(time.Since(begin)),
	}
	if r.PingMs, err = pingPeer(ctx, h, target.ID); err != nil {
		return nil, err
	}
	if r.Echo, err = echo(ctx, h, target.ID, o.size); err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	if hold > 0 {
		begin := time.Now()
		for time.Since(begin) < hold {
			time.Sleep(min(watch, hold-time.Since(begin)))
			if conn.IsClosed() {
				return nil, fmt.Errorf("the circuit was closed after %.1f s of idleness", time.Since(begin).Seconds())
			}
		}
		r.HeldMs = ms(time.Since(begin))
		if r.After, err = pingPeer(ctx, h, target.ID); err != nil {
			return nil, err
		}
	}
	r.Identify = known(h, target.ID)
	limited := conn.Stat().Limited
	return struct {
		*report
		Limited  bool `json:"limited"`
		Upgraded bool `json:"upgraded"`
	}{r, limited, false}, nil
}
